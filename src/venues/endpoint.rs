//! Where a venue is: its base URL, parsed and judged. `https` anywhere, `http` only to this machine,
//! since a request carries a credential and an answer is believed. Opens no connection.

use std::net::IpAddr;

/// A venue's base URL, such as `https://api.example.com/v1` or `http://127.0.0.1:8100`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    scheme: Scheme,
    host: String,
    port: u16,
    authority: String,
    base_path: String,
}

/// With or without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text, to this machine only.
    Http,
    /// Over TLS.
    Https,
}

/// What is wrong with a venue's URL. The text is for the one who wrote the setting, and repeats
/// nothing of it, since a URL may hold a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Not a URL, or one without a host.
    #[error("not a URL such as https://api.example.com/v1")]
    NotAUrl,
    /// Neither `http` nor `https`.
    #[error("the scheme must be https (or http to this machine)")]
    Scheme,
    /// A name or password before the host.
    #[error("a URL must not hold a credential")]
    Credential,
    /// Something after the path.
    #[error("a base URL has neither query nor fragment")]
    BeyondPath,
    /// `http` to another machine.
    #[error("plain http is for 127.0.0.0/8, ::1 and localhost only; use https")]
    PlainToElsewhere,
}

impl Endpoint {
    /// Reads a base URL.
    ///
    /// # Errors
    ///
    /// [`EndpointError`], the first thing that is wrong.
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        if url.contains(['#', '?']) {
            return Err(EndpointError::BeyondPath);
        }
        let uri: http::Uri = url.parse().map_err(|_| EndpointError::NotAUrl)?;
        let authority = uri.authority().ok_or(EndpointError::NotAUrl)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::Credential);
        }
        let (scheme, usual_port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            _ => return Err(EndpointError::Scheme),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(EndpointError::NotAUrl);
        }
        if scheme == Scheme::Http && !names_this_machine(&host) {
            return Err(EndpointError::PlainToElsewhere);
        }
        Ok(Self {
            scheme,
            host,
            port: authority.port_u16().unwrap_or(usual_port),
            authority: authority.as_str().to_owned(),
            base_path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// With or without TLS.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Name or address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, the scheme's usual one if none was written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as the `Host` header has them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// What every request target begins with: empty, or `/` and more, without a slash at its end.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// Whether a connection may be made to this address: any over TLS, else this machine's only. A
    /// name is looked up after the URL was judged, and `localhost` can be made to mean anything.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.scheme == Scheme::Https || address.to_canonical().is_loopback()
    }
}

fn names_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_gives_host_port_and_path() {
        let venue = Endpoint::parse("https://api.example.com/v1/").unwrap();
        assert_eq!(venue.scheme(), Scheme::Https);
        assert_eq!((venue.host(), venue.port()), ("api.example.com", 443));
        assert_eq!(venue.authority(), "api.example.com");
        assert_eq!(venue.base_path(), "/v1");

        let paper = Endpoint::parse("http://127.0.0.1:8100").unwrap();
        assert_eq!((paper.host(), paper.port()), ("127.0.0.1", 8100));
        assert_eq!(paper.authority(), "127.0.0.1:8100");
        assert_eq!(paper.base_path(), "");
    }

    #[test]
    fn plain_http_goes_to_this_machine_only() {
        for here in [
            "http://127.0.0.1",
            "http://127.9.9.9:1",
            "http://localhost:8000",
            "http://LOCALHOST",
            "http://[::1]:80",
            "http://[::ffff:127.0.0.1]",
        ] {
            assert!(Endpoint::parse(here).is_ok(), "{here}");
        }
        for elsewhere in [
            "http://128.0.0.1",
            "http://10.0.0.1",
            "http://[::2]",
            "http://localhost.example.com",
            "http://127.0.0.1.example.com",
            "http://0.0.0.0",
        ] {
            assert_eq!(
                Endpoint::parse(elsewhere),
                Err(EndpointError::PlainToElsewhere),
                "{elsewhere}"
            );
        }
        assert!(Endpoint::parse("https://10.0.0.1").is_ok());
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused_when_it_is_looked_up() {
        let plain = Endpoint::parse("http://localhost").unwrap();
        assert!(plain.allows("127.0.0.1".parse().unwrap()));
        assert!(plain.allows("::ffff:127.0.0.1".parse().unwrap()));
        assert!(!plain.allows("10.0.0.1".parse().unwrap()));
        let tls = Endpoint::parse("https://localhost").unwrap();
        assert!(tls.allows("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_not_a_base_url_is_told_by_kind() {
        for (url, wrong) in [
            ("", EndpointError::NotAUrl),
            ("/v1", EndpointError::NotAUrl),
            ("https://", EndpointError::NotAUrl),
            ("ftp://example.com", EndpointError::Scheme),
            ("https://user:pass@example.com", EndpointError::Credential),
            ("https://example.com/?a=1", EndpointError::BeyondPath),
            ("https://example.com/#top", EndpointError::BeyondPath),
        ] {
            assert_eq!(Endpoint::parse(url), Err(wrong), "{url:?}");
        }
    }

    mod properties {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn no_text_makes_it_panic_and_plain_never_leaves_this_machine(url in ".{0,80}") {
                if let Ok(endpoint) = Endpoint::parse(&url) {
                    let here = names_this_machine(endpoint.host());
                    prop_assert!(here || endpoint.scheme() == Scheme::Https);
                }
            }

            #[test]
            fn plain_http_to_an_address_is_accepted_exactly_for_loopback(octets: [u8; 4]) {
                let address = std::net::Ipv4Addr::from(octets);
                let accepted = Endpoint::parse(&format!("http://{address}")).is_ok();
                prop_assert_eq!(accepted, octets[0] == 127);
            }
        }
    }
}
