//! Networks of addresses, as people write them: `10.0.0.0/8`, `fd00::/8`, or a single address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// Bits that all addresses in it share.
    prefix: u32,
}

impl Network {
    /// An IPv4 address is one in whatever way it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        let own = bits(self.address);
        let (bits, width) = bits(address.to_canonical());
        let shared = |bits: u128| bits.checked_shr(width - self.prefix.min(width)).unwrap_or(0);
        own.1 == width && shared(own.0) == shared(bits)
    }
}

/// The address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), u32::BITS),
        IpAddr::V6(address) => (address.into(), u128::BITS),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address such as 192.0.2.7, or a network such as 192.0.2.0/24")]
pub struct NotANetwork;

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Network, NotANetwork> {
        let Some((address, prefix)) = text.split_once('/') else {
            let address = text.parse::<IpAddr>().map_err(|_| NotANetwork)?.to_canonical();
            return Ok(Network { address, prefix: bits(address).1 });
        };
        let address: IpAddr = address.parse().map_err(|_| NotANetwork)?;
        // `parse` would take a sign, too.
        let number = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix: Option<u32> = prefix.parse().ok();
        let prefix = prefix.filter(|prefix| number && *prefix <= bits(address).1).ok_or(NotANetwork)?;
        let canonical = address.to_canonical();
        let prefix = prefix.checked_sub(bits(address).1 - bits(canonical).1).ok_or(NotANetwork)?;
        Ok(Network { address: canonical, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix == bits(self.address).1 {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_networks_only() {
        for (network, inside, outside) in [
            ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
            ("127.0.0.1", "::ffff:127.0.0.1", "::1"),
            ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("10.1.2.3/8", "10.255.0.0", "11.0.0.0"),
            ("::ffff:10.0.0.0/104", "10.255.0.0", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("fd00::/8", "fd12::1", "fe80::1"),
            ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
            ("::/0", "2001:db8::2", "192.0.2.7"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network} {inside}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network} {outside}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "{network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "/",
            "localhost",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "::ffff:0:0/95",
            "[::1]",
            "::1/64/1",
        ] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork), "{text:?}");
        }
    }
}
