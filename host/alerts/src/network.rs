//! Where receivers may be.
//!
//! A receiver's address is a tenant's word, and what connects to it is this process, inside the
//! operator's network. So a name is resolved here, each address is compared with what is public, and
//! the connection goes to exactly the addresses that passed: a name that resolves to something else a
//! moment later changes nothing. What isn't public is reached only where the operator lists it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::sync::Semaphore;

use crate::receivers::DeliveryError;

/// Addresses of one name that are tried: a name with more is a pool, and three of it are enough.
const ADDRESSES_MAX: usize = 3;

/// Names that are looked up at once: a part of the threads that the runtime has for what blocks, so that
/// name servers which don't answer leave the others to the store.
const LOOK_UPS_MAX: usize = 128;
static LOOK_UPS: Semaphore = Semaphore::const_new(LOOK_UPS_MAX);

/// Not public, though not all are private: what RFC 6890 and its successors reserve, and the
/// metadata services of clouds outside it.
const RESERVED_V4: [(Ipv4Addr, u8); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10), // between carriers; Alibaba's metadata
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's host
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local; metadata of most clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4), // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4), // reserved, broadcast
];
/// Of what IANA has given out as global unicast.
const RESERVED_V6: [(Ipv6Addr, u8); 3] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocols; Teredo has an IPv4 address inside
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4 has an IPv4 address inside
];
const GLOBAL_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Addresses that an operator allows: `10.2.0.0/16`, `10.2.3.4`, `10.2.3.4:9093`, `[fd00::1]:9093`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    net: IpNet,
    port: Option<u16>,
}

impl Allowed {
    fn contains(&self, address: SocketAddr) -> bool {
        self.net.contains(&address.ip()) && self.port.is_none_or(|port| port == address.port())
    }
}

impl FromStr for Allowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self {
                net: address.ip().into(),
                port: Some(address.port()),
            });
        }
        text.parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map(|net| Self { net, port: None })
            .map_err(|_| {
                format!(
                    "`{}` is no address: write `10.2.0.0/16`, `10.2.3.4` or `10.2.3.4:9093`",
                    crate::name::shown(text)
                )
            })
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            None => write!(f, "{}", self.net),
            Some(port) => write!(f, "{}", SocketAddr::new(self.net.addr(), port)),
        }
    }
}

/// What receivers may reach.
#[derive(Debug, Clone, Default)]
pub struct Network {
    allowed: Vec<Allowed>,
}

impl Network {
    /// Public addresses and these.
    pub fn new(allowed: Vec<Allowed>) -> Self {
        Self { allowed }
    }

    /// May a receiver be at this address?
    pub fn permits(&self, address: SocketAddr) -> bool {
        // `::ffff:127.0.0.1` is 127.0.0.1.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        is_public(address.ip()) || self.allowed.iter().any(|allowed| allowed.contains(address))
    }

    /// The addresses of a host that a connection may go to: at least one.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DeliveryError> {
        // As URLs write an IPv6 address.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => look_up(bare.to_owned(), port).await?,
        };
        let permitted: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| self.permits(*address))
            .take(ADDRESSES_MAX)
            .collect();
        if permitted.is_empty() {
            return Err(DeliveryError::new(
                "its host isn't at a public address; the operator has to allow others",
            ));
        }
        Ok(permitted)
    }
}

/// The system's answer. It takes a thread until it comes, also when nobody waits for it any more.
async fn look_up(host: String, port: u16) -> Result<Vec<SocketAddr>, DeliveryError> {
    let failed = || DeliveryError::new("its host has no address; check its name");
    let permit = LOOK_UPS.acquire().await.map_err(|_| failed())?;
    tokio::task::spawn_blocking(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        drop(permit);
        found.map(Iterator::collect)
    })
    .await
    .map_err(|_| failed())?
    .map_err(|_| failed())
}

fn is_public(ip: IpAddr) -> bool {
    let v4 = |(net, bits), ip: &Ipv4Addr| Ipv4Net::new(net, bits).is_ok_and(|net| net.contains(ip));
    let v6 = |(net, bits), ip: &Ipv6Addr| Ipv6Net::new(net, bits).is_ok_and(|net| net.contains(ip));
    match ip {
        IpAddr::V4(ip) => !RESERVED_V4.iter().any(|net| v4(*net, &ip)),
        IpAddr::V6(ip) => v6(GLOBAL_V6, &ip) && !RESERVED_V6.iter().any(|net| v6(*net, &ip)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(network: &Network, ip: &str) -> bool {
        network.permits(SocketAddr::new(ip.parse().unwrap(), 80))
    }

    #[test]
    fn only_public_addresses_by_default() {
        let network = Network::default();
        for ip in [
            "1.1.1.1",
            "93.184.216.34",
            "172.32.0.1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(permits(&network, ip), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.100.100.200",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "168.63.129.16",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
        ] {
            assert!(!permits(&network, ip), "{ip}");
        }
    }

    #[test]
    fn an_operator_allows_what_isnt_public() {
        let network = Network::new(
            ["10.2.0.0/16", "127.0.0.1:9093", "fd00::1"]
                .map(|text| text.parse().unwrap())
                .into(),
        );
        for (address, expected) in [
            ("10.2.3.4:1", true),
            ("10.3.0.1:1", false),
            ("127.0.0.1:9093", true),
            ("[::ffff:127.0.0.1]:9093", true),
            ("127.0.0.1:9094", false),
            ("[fd00::1]:1", true),
            ("[fd00::2]:1", false),
        ] {
            assert_eq!(network.permits(address.parse().unwrap()), expected, "{address}");
        }
        for text in ["10.2.0.0/16", "127.0.0.1:9093", "[fd00::1]:9093"] {
            assert_eq!(text.parse::<Allowed>().unwrap().to_string(), text);
        }
        for bad in ["", "localhost", "10.0.0.0/33", "10.0.0"] {
            bad.parse::<Allowed>().unwrap_err();
        }
    }
}
