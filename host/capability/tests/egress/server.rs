//! Servers of one connection, which do exactly what a test tells them.

use std::net::Ipv4Addr;

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A server on a free port, and what becomes of its one connection.
pub(crate) struct Server<T> {
    pub(crate) port: u16,
    pub(crate) task: JoinHandle<T>,
}

impl<T: Send + 'static> Server<T> {
    /// Does `behave` with the first connection.
    pub(crate) async fn start<F>(behave: impl FnOnce(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move { behave(listener.accept().await.unwrap().0).await });
        Self { port, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }
}

/// A server that reads the head of a request, writes this, and closes. It tells the head.
pub(crate) async fn answering(answer: impl Into<Vec<u8>>) -> Server<String> {
    let answer = answer.into();
    Server::start(async move |mut stream: TcpStream| {
        let head = head(&mut stream).await;
        // A client that has had enough closes; that is for its own test to judge.
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
        head
    })
    .await
}

/// A server that reads whatever comes and never answers.
pub(crate) async fn silent() -> Server<()> {
    Server::start(async |mut stream: TcpStream| closed(&mut stream).await).await
}

/// The head of a request, to its empty line; less where the client closes before.
pub(crate) async fn head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Waits until the client closes.
pub(crate) async fn closed(stream: &mut TcpStream) {
    let mut rest = [0; 1024];
    while stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
}
