//! Bodies with bounds.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use airlock_grant::port::{Body as PortBody, EgressError, EgressLimits, TimedPart};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{Driver, broken};

/// The request's body: ends with an error when it is too large.
pub(super) struct Counted {
    body: PortBody,
    left: u64,
    most: u64,
}

impl Counted {
    pub(super) const fn new(body: PortBody, most: u64) -> Self {
        Self {
            body,
            left: most,
            most,
        }
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
    body: hyper::body::Incoming,
    /// Drives the connection while the body lives.
    _driver: Driver,
    left: u64,
    end: Pin<Box<Sleep>>,
    next: Pin<Box<Sleep>>,
    limits: EgressLimits,
    over: bool,
}

impl Incoming {
    pub(super) fn new(
        body: hyper::body::Incoming,
        driver: Driver,
        end: Instant,
        limits: EgressLimits,
    ) -> Self {
        Self {
            body,
            _driver: driver,
            left: limits.response_body_bytes,
            end: Box::pin(sleep_until(end)),
            next: Box::pin(sleep_until(Instant::now() + limits.between_bytes)),
            limits,
            over: false,
        }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        let late = |part, limit| Poll::Ready(Some(Err(EgressError::Timeout { part, limit })));
        if self.end.as_mut().poll(context).is_ready() {
            return late(TimedPart::Total, self.limits.total);
        }
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending if self.next.as_mut().poll(context).is_ready() => {
                late(TimedPart::BetweenBytes, self.limits.between_bytes)
            }
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(broken(&error, &self.limits)))),
            Poll::Ready(Some(Ok(frame))) => {
                let (direction, limit) = ("response body", self.limits.response_body_bytes);
                let Some(left) = left_after(self.left, &frame) else {
                    return Poll::Ready(Some(Err(EgressError::TooLarge { direction, limit })));
                };
                self.left = left;
                self.next
                    .as_mut()
                    .reset(Instant::now() + self.limits.between_bytes);
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
        if self.over {
            return Poll::Ready(None);
        }
        let polled = self.poll(context);
        self.over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How many bytes are left after this frame; none when there are not so many.
fn left_after(left: u64, frame: &Frame<Bytes>) -> Option<u64> {
    let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
    left.checked_sub(bytes)
}
