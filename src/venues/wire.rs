//! The socket of an order connection, below TLS: each write stands under a permit of the latch and
//! is one non-blocking `sendmsg`. Reading is not restricted, so that answers arrive after a halt.
//!
//! What this module promises: no byte is handed to the kernel without a permit; each byte that is,
//! is counted before the permit goes back; after a refusal, a failed write or a short one, nothing
//! follows. It knows neither HTTP nor orders.

use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, AsRawFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use flashguard_latch::{Latch, Section, Ticket, Writer};
use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

/// A TCP connection that writes by permit.
#[derive(Debug)]
pub struct Wire {
    // Before `io`: fields drop in this order, and the latch must have let go of the descriptor
    // before its number can mean another socket.
    writer: Writer,
    io: TcpStream,
}

impl Wire {
    /// Puts a fresh connection under the latch, before its first byte.
    pub fn new(latch: &Arc<Latch>, ticket: Ticket, io: TcpStream) -> Self {
        let writer = latch.register(ticket, Some(io.as_raw_fd()));
        Self { writer, io }
    }

    /// The connection's section: its byte count, and the means to kill it.
    pub fn section(&self) -> &Arc<Section> {
        self.writer.section()
    }

    /// One write of all of `bufs`. It is complete, or the connection is dead.
    fn write_all_at_once(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len: usize = bufs.iter().map(|buf| buf.len()).sum();
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        loop {
            // Readiness first: waiting for a full buffer must not hold the section open.
            ready!(self.io.poll_write_ready(cx))?;
            let permit = match self.writer.permit() {
                Ok(permit) => permit,
                Err(refused) => {
                    // An error, never `Pending`: bytes that wait would leave after a lift.
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::PermissionDenied,
                        refused,
                    )));
                }
            };
            let sent = self.io.try_io(Interest::WRITABLE, || send(&self.io, bufs));
            match sent {
                Ok(sent) => {
                    permit.wrote(sent);
                    if sent == len {
                        return Poll::Ready(Ok(sent));
                    }
                    // An order is small and the buffer was empty: a short write means a peer that
                    // does not read. Nothing of the rest may follow.
                    self.section().kill();
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => drop(permit),
                Err(e) => {
                    drop(permit);
                    self.section().kill();
                    return Poll::Ready(Err(e));
                }
            }
        }
    }
}

/// One system call. It never blocks and never raises SIGPIPE.
fn send(io: &TcpStream, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let mut nothing_else = SendAncillaryBuffer::default();
    Ok(rustix::net::sendmsg(
        io.as_fd(),
        bufs,
        &mut nothing_else,
        flags,
    )?)
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write_all_at_once(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().write_all_at_once(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Ends the stream with a FIN, which is no byte of anything.
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flashguard_latch::{Beat, Fence, Refused, State};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    fn latch() -> Arc<Latch> {
        Arc::new(Latch::new(
            State::open(0),
            Beat::new(Duration::from_secs(30)),
        ))
    }

    async fn pair(latch: &Arc<Latch>) -> (Wire, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let io = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let (peer, _) = listener.accept().await.unwrap();
        let ticket = latch.ticket(&Fence::new().incarnate()).unwrap();
        (Wire::new(latch, ticket, io), peer)
    }

    fn refusal(e: &io::Error) -> Option<Refused> {
        e.get_ref()?.downcast_ref::<Refused>().copied()
    }

    #[tokio::test]
    async fn several_buffers_leave_in_one_write_and_are_counted() {
        let latch = latch();
        let (mut wire, mut peer) = pair(&latch).await;
        let bufs = [
            IoSlice::new(b"head "),
            IoSlice::new(b""),
            IoSlice::new(b"body"),
        ];
        let sent = std::future::poll_fn(|cx| Pin::new(&mut wire).poll_write_vectored(cx, &bufs));
        assert_eq!(sent.await.unwrap(), 9);
        assert_eq!(wire.section().sent(), 9);
        let mut heard = [0; 9];
        peer.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"head body");
    }

    #[tokio::test]
    async fn after_a_halt_nothing_is_written_and_answers_are_read() {
        let latch = latch();
        let (mut wire, mut peer) = pair(&latch).await;
        wire.write_all(b"order").await.unwrap();
        let stopped = latch.halt(Duration::from_millis(10));

        let refused = wire.write_all(b"more").await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(refusal(&refused), Some(Refused::Dead));
        assert!(latch.lift(stopped.epoch));
        assert!(
            wire.write_all(b"more").await.is_err(),
            "dead after the lift too"
        );

        peer.write_all(b"answer").await.unwrap();
        let mut answer = [0; 6];
        wire.read_exact(&mut answer).await.unwrap();
        assert_eq!(wire.section().sent(), 5);
        drop(wire);
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"order");
    }

    #[tokio::test]
    async fn a_short_write_kills_the_connection() {
        let latch = latch();
        let (mut wire, mut peer) = pair(&latch).await;
        let much = vec![7; 32 << 20];
        let writing = tokio::time::timeout(Duration::from_secs(30), wire.write_all(&much));
        let short = writing.await.expect("waits for room").unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::WriteZero);
        let sent = wire.section().sent();
        assert!(sent > 0 && sent < 32 << 20);
        assert!(wire.section().is_dead());
        assert!(wire.write_all(b"x").await.is_err());
        drop(wire);
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).await.unwrap();
        assert_eq!(
            heard.len() as u64,
            sent,
            "the counter is what the peer can read"
        );
    }

    #[tokio::test]
    async fn a_full_buffer_holds_no_permit() {
        // Invariant: a writer that waits for room is not inside its section. Single bytes into a
        // small buffer are never short: they end in a wait.
        let latch = latch();
        let (mut wire, _peer) = pair(&latch).await;
        rustix::net::sockopt::set_socket_send_buffer_size(&wire.io, 4_096).unwrap();
        let mut pending = 0;
        while pending < 20 {
            let once =
                std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut wire).poll_write(cx, b"x")));
            match once.await {
                Poll::Ready(written) => {
                    assert_eq!(written.unwrap(), 1);
                    pending = 0;
                }
                Poll::Pending => {
                    pending += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
        assert!(!wire.section().is_dead());
        let stopped = latch.halt(Duration::from_millis(10));
        assert!(!stopped.is_forced());
        assert_eq!(stopped.cut_unsent.len(), 1, "what the kernel held was cut");
    }

    #[tokio::test]
    async fn a_write_to_a_closed_peer_is_an_error_that_kills() {
        let latch = latch();
        let (mut wire, peer) = pair(&latch).await;
        drop(peer);
        let mut failed = None;
        for _ in 0..100 {
            if let Err(e) = wire.write_all(b"x").await {
                failed = Some(e);
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(failed.is_some_and(|e| refusal(&e).is_none()));
        assert!(wire.section().is_dead());
    }
}
