//! What the server reads of requests before anybody is known, for the fuzz target `http` (fuzz/): everything else of the
//! server needs sockets. Compiled for fuzzing only.

use std::net::IpAddr;

use axum::http::header::{HeaderMap, HeaderName, HeaderValue};

use super::access::api;
use super::access::{Way, bearer};
use super::hosts::Hosts;
use super::listen::Peer;
use super::proxies::Proxies;
use crate::base::network::Network;
use crate::store::Secret;

/// Reads a request's head, a header each line, and its body. No name but our own is admitted, whatever it says.
pub fn request(head: &[u8], body: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(100) {
        let at = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(at);
        let value = value.strip_prefix(b":").unwrap_or(value);
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    for way in [Way::Tls, Way::Plain] {
        if let Some(cookie) = way.read(&headers) {
            _ = cookie.parse::<Secret>();
            assert!(way.write(cookie).is_none_or(|line| !line.as_bytes().contains(&b'\n')));
        }
    }
    _ = bearer(&headers);
    let trusted: Vec<Network> = ["127.0.0.0/8", "2001:db8::/32"].iter().filter_map(|text| text.parse().ok()).collect();
    let proxies = Proxies::new(&trusted);
    let stranger = Peer::at(IpAddr::from([192, 0, 2, 7]));
    assert_eq!(proxies.origin(stranger, &headers), stranger.origin(), "nobody speaks for others unasked");
    assert!(!proxies.came_over_tls(stranger, &headers));
    let proxy = Peer::at(IpAddr::from([127, 0, 0, 1]));
    _ = (proxies.origin(proxy, &headers), proxies.came_over_tls(proxy, &headers));

    let origin = headers.get("origin");
    let hosts = Hosts::known(&["door.example.org".to_owned()]);
    let named = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    if origin.is_some() && named.ends_with("evil.example") && hosts.admit(&headers, origin).is_ok() {
        let said = origin.and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        assert!(said.contains("door.example.org"), "{named} {said}");
    }
    _ = Hosts::proved(&[]).admit(&headers, origin);
    api::bodies(body);
}
