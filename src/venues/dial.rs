//! A TCP connection to a venue: to an address that its endpoint allows, without delay of small writes.

use std::io;

use tokio::net::TcpStream;

use super::endpoint::Endpoint;

/// Connects to the first address that answers among those the endpoint allows.
///
/// # Errors
///
/// The last address's error; without an allowed address `AddrNotAvailable`.
pub async fn dial(endpoint: &Endpoint) -> io::Result<TcpStream> {
    let addresses = tokio::net::lookup_host((endpoint.host(), endpoint.port())).await?;
    let mut failed = io::Error::new(
        io::ErrorKind::AddrNotAvailable,
        "the host has no address that plain http may go to",
    );
    for address in addresses.filter(|address| endpoint.allows(address.ip())) {
        match TcpStream::connect(address).await {
            Ok(io) => {
                // An order leaves at once, also while an earlier segment is not acknowledged.
                io.set_nodelay(true)?;
                return Ok(io);
            }
            Err(e) => failed = e,
        }
    }
    Err(failed)
}
