//! Arguments that are read from the store, and the lists among them that many instances want an element of.
//!
//! A list that is too large for the memory of its run is read and split once, whoever asks first, and kept as
//! long as few other lists are asked for.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use airlock_model::{
    id::{InstanceIndex, RunKey},
    port::{RETURN_VALUE, StoreError, XcomStore},
};
use tokio::sync::OnceCell;
use tracing::warn;

use crate::engine::arguments::{Piece, Returned, Values, split};

/// Between two questions to a store that does not answer: the first pause, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Lists that are kept.
const KEPT: usize = 16;

type Elements = Arc<[Arc<str>]>;
type Key = (RunKey, InstanceIndex);

/// Lists that were read lately.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    kept: Mutex<VecDeque<(Key, Arc<OnceCell<Elements>>)>>,
}

/// What was read for one piece.
struct Read {
    returned: Returned,
    elements: HashMap<InstanceIndex, Elements>,
}

impl Values for Read {
    fn returned(&self, at: InstanceIndex) -> Option<Option<Arc<str>>> {
        self.returned.get(&at).cloned()
    }

    fn elements(&self, at: InstanceIndex) -> Option<Elements> {
        self.elements.get(&at).cloned()
    }
}

impl Lists {
    /// The value of a piece, with all that it needs read from the store.
    pub(crate) async fn value(
        &self,
        run: RunKey,
        piece: &Piece,
        xcoms: &dyn XcomStore,
    ) -> Arc<str> {
        let read = async |at: InstanceIndex| {
            until_written(|| xcoms.xcom_of(run, at.task, at.map_index, RETURN_VALUE)).await
        };
        let mut found = Read {
            returned: Returned::new(),
            elements: HashMap::new(),
        };
        let (mut whole, mut split_up) = (Vec::new(), Vec::new());
        piece.needs(&mut whole, &mut split_up);
        for at in whole {
            let value = read(at).await;
            found.returned.insert(at, value);
        }
        for at in split_up {
            let cell = self.cell((run, at));
            let list = cell
                .get_or_init(async || split(read(at).await.as_deref()))
                .await;
            found.elements.insert(at, Arc::clone(list));
        }
        piece.value(&found).unwrap_or_else(|| "null".into())
    }

    fn cell(&self, key: Key) -> Arc<OnceCell<Elements>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cell)) = kept.iter().find(|(known, _)| *known == key) {
            return Arc::clone(cell);
        }
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        let cell = Arc::new(OnceCell::new());
        kept.push_back((key, Arc::clone(&cell)));
        cell
    }
}

/// Asks the store until it answers: what depends on it waits, and nothing is lost meanwhile.
pub(crate) async fn until_written<T, F: Future<Output = Result<T, StoreError>>>(
    ask: impl Fn() -> F,
) -> T {
    let mut pause = RETRY.0;
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => warn!(%error, "the store did not answer; asking again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}
