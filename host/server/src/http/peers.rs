//! How many connections each peer address has.
//!
//! An address is an IPv4 address, or the /64 of an IPv6 one: that is what one customer of a provider
//! has. The count is a bound on what a single machine can take of the server's connections, without a
//! key; behind a proxy all connections are the proxy's.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The connections of all peers.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

/// A connection that counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// At most `max` connections of each.
    pub(crate) fn new(max: usize) -> Self {
        Self {
            open: Arc::default(),
            max,
        }
    }

    /// Count one; none where the peer has as many as it may.
    pub(crate) fn admit(&self, peer: IpAddr) -> Option<Counted> {
        let address = network(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Counted {
            peers: self.clone(),
            address,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = open.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            const NETWORK: u128 = !0 << 64;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_bound_and_gives_back_what_it_took() {
        let peers = Peers::new(2);
        let admit = |text: &str| peers.admit(text.parse().unwrap());
        let held = [admit("10.0.0.1").unwrap(), admit("::ffff:10.0.0.1").unwrap()];
        assert!(admit("10.0.0.1").is_none());
        let _other = admit("10.0.0.2").unwrap();
        let _network = [admit("2001:db8::1").unwrap(), admit("2001:db8::2").unwrap()];
        assert!(admit("2001:db8::3").is_none());
        let _next = admit("2001:db8:0:1::3").unwrap();
        drop(held);
        assert!(admit("10.0.0.1").is_some());
        assert_eq!(
            peers.open.lock().unwrap().len(),
            3,
            "nothing is kept of who has left"
        );
    }
}
