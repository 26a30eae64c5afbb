//! Bodies with bounds.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use airlock_grant::port::{Body as PortBody, EgressError, EgressLimits, TimedPart};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::{Driver, broken};

/// The request's body: ends with an error when it is too large.
pub(super) struct Counted {
    body: PortBody,
    left: u64,
    most: u64,
}

impl Counted {
    /// # Errors
    /// [`EgressError::TooLarge`] when the body knows already that it is.
    pub(super) fn new(body: PortBody, most: u64) -> Result<Self, EgressError> {
        if body.size_hint().lower() > most {
            let (direction, limit) = ("request body", most);
            return Err(EgressError::TooLarge { direction, limit });
        }
        Ok(Self {
            body,
            left: most,
            most,
        })
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let (direction, limit) = ("request body", self.most);
            match left_after(self.left, frame) {
                Some(left) => self.left = left,
                None => {
                    return Poll::Ready(Some(Err(EgressError::TooLarge { direction, limit })));
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The response's body: bounded in size, in the time between its parts, and in the time of the whole call.
pub(super) struct Incoming {
    /// None once the body ended, well or badly; the connection is closed then.
    open: Option<(hyper::body::Incoming, Driver)>,
    left: u64,
    end: Pin<Box<Sleep>>,
    /// Runs while the server is waited for, not while the guest is.
    silence: Option<Pin<Box<Sleep>>>,
    limits: EgressLimits,
}

impl Incoming {
    /// # Errors
    /// [`EgressError::TooLarge`] when the server says already that it sends too much.
    pub(super) fn new(
        body: hyper::body::Incoming,
        driver: Driver,
        end: Instant,
        limits: EgressLimits,
    ) -> Result<Self, EgressError> {
        let most = limits.response_body_bytes;
        if body.size_hint().lower() > most {
            let (direction, limit) = ("response body", most);
            return Err(EgressError::TooLarge { direction, limit });
        }
        Ok(Self {
            open: Some((body, driver)),
            left: most,
            end: Box::pin(sleep_until(end)),
            silence: None,
            limits,
        })
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let late = |part, limit| Poll::Ready(Some(Err(EgressError::Timeout { part, limit })));
        if self.end.as_mut().poll(context).is_ready() {
            return late(TimedPart::Total, self.limits.total);
        }
        let Some((body, _)) = &mut self.open else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        if polled.is_ready() {
            self.silence = None;
        }
        match polled {
            Poll::Pending => {
                let between = self.limits.between_bytes;
                let silence = (self.silence).get_or_insert_with(|| Box::pin(sleep(between)));
                ready!(silence.as_mut().poll(context));
                late(TimedPart::BetweenBytes, between)
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(broken(&error, &self.limits)))),
            Poll::Ready(Some(Ok(frame))) => {
                let (direction, limit) = ("response body", self.limits.response_body_bytes);
                let Some(left) = left_after(self.left, &frame) else {
                    return Poll::Ready(Some(Err(EgressError::TooLarge { direction, limit })));
                };
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        if self.open.is_none() {
            return Poll::Ready(None);
        }
        let polled = self.poll(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.open = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        (self.open.as_ref()).is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        (self.open.as_ref()).map_or(SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

/// How many bytes are left after this frame; none when there are not so many.
fn left_after(left: u64, frame: &Frame<Bytes>) -> Option<u64> {
    let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
    left.checked_sub(bytes)
}
