//! From where anything but checks is taken: from where a check of ours was answered, that is by whoever knows this call's
//! passwords (RFC 8445) or stands on the way to them. The stack takes DTLS and media from anybody as soon as it has a path,
//! so that a stranger who finds the port could begin the handshake in the other side's place (OWASP ASVS 5.0, 17.2.6), or
//! end a call with an alert, which needs no key.

use std::collections::VecDeque;

use webrtc::runtime::RecvMeta;

use super::stun::{self, Path};

/// Our checks whose answers are awaited; of more the oldest is forgotten, and counts when it is repeated.
const MAX_ASKED: usize = 512;
/// Paths that were answered; of more the oldest is forgotten, and known again by the next check.
const MAX_KNOWN: usize = 64;

/// What one socket knows.
#[derive(Default)]
pub(super) struct Known {
    asked: VecDeque<(Path, Vec<u8>)>,
    paths: VecDeque<Path>,
}

impl Known {
    /// A check of ours goes out.
    pub(super) fn asks(&mut self, path: Path, request: &[u8]) {
        let Some(transaction) = stun::transaction(request) else { return };
        if self.asked.len() == MAX_ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((path, transaction.to_vec()));
    }

    /// An answer has come. Its transaction is 96 random bits, which nobody guesses.
    pub(super) fn answers(&mut self, path: Path, response: &[u8]) {
        let transaction = stun::transaction(response);
        let asked = |(to, known): &(Path, Vec<u8>)| *to == path && Some(known.as_slice()) == transaction;
        let Some(at) = self.asked.iter().position(asked) else { return };
        self.asked.remove(at);
        if !self.paths.contains(&path) {
            if self.paths.len() == MAX_KNOWN {
                self.paths.pop_front();
            }
            self.paths.push_back(path);
        }
    }

    /// Whether this may be read. By way of a relay comes only who was let through there.
    fn takes(&self, path: Path, message: &[u8]) -> bool {
        match path {
            Path::Straight(_) => stun::is_stun(message) || self.paths.contains(&path),
            Path::Relayed(..) | Path::Channel(..) => true,
        }
    }

    /// Takes out of what was received, which is datagrams of one length and maybe a shorter one, all from one address,
    /// those that may not be read. Whether any are left.
    pub(super) fn sift(&self, buffer: &mut [u8], meta: &mut RecvMeta) -> bool {
        let (length, stride) = (meta.len.min(buffer.len()), meta.stride.max(1));
        let mut kept = 0;
        for start in (0..length).step_by(stride) {
            let end = (start + stride).min(length);
            let (path, message) = stun::unwrapped(meta.addr, buffer.get(start..end).unwrap_or_default());
            if self.takes(path, message) {
                buffer.copy_within(start..end, kept);
                kept += end - start;
            }
        }
        meta.len = kept;
        meta.stride = stride.min(kept.max(1));
        kept > 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::stun::tests::message;
    use super::super::stun::{BINDING_REQUEST, BINDING_SUCCESS};
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 9))
    }

    fn sifted(known: &Known, from: SocketAddr, datagrams: &[&[u8]]) -> Vec<u8> {
        let mut buffer = datagrams.concat();
        let (len, stride) = (buffer.len(), datagrams.first().map_or(1, |first| first.len()));
        let mut meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (from, len, stride);
        let any = known.sift(&mut buffer, &mut meta);
        assert_eq!(any, meta.len > 0);
        buffer.truncate(meta.len);
        buffer
    }

    #[test]
    fn media_is_taken_from_where_a_check_was_answered() {
        let (peer, stranger) = (address(1), address(2));
        let mut known = Known::default();
        let media: &[u8] = &[0x80, 1, 2, 3];
        assert!(sifted(&known, peer, &[media]).is_empty());
        known.asks(Path::Straight(peer), &message(BINDING_REQUEST, 7, &[]));
        for (from, transaction) in [(stranger, 7), (peer, 8)] {
            known.answers(Path::Straight(from), &message(BINDING_SUCCESS, transaction, &[]));
            assert!(sifted(&known, from, &[media]).is_empty());
        }
        known.answers(Path::Straight(peer), &message(BINDING_SUCCESS, 7, &[]));
        assert_eq!(sifted(&known, peer, &[media]), media);
        assert!(sifted(&known, stranger, &[media]).is_empty());
        assert_eq!(known.asked.len(), 0);
    }

    #[test]
    fn checks_are_taken_from_everywhere_and_out_of_a_batch() {
        let known = Known::default();
        let check = message(BINDING_REQUEST, 7, &[]);
        let (media, short) = (vec![0x80; check.len()], vec![0x80; 3]);
        assert_eq!(sifted(&known, address(1), &[&check]), check);
        let batch = [&media[..], &check, &media, &check, &short];
        assert_eq!(sifted(&known, address(1), &batch), [&check[..], &check].concat());
        let relayed = super::super::stun::tests::in_channel(0x4001, &media);
        assert_eq!(sifted(&known, address(1), &[&relayed]), relayed);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut known = Known::default();
        for port in 1..=1000 {
            let path = Path::Straight(SocketAddr::from(([192, 0, 2, 1], port)));
            known.asks(path, &message(BINDING_REQUEST, 7, &[]));
            known.answers(path, &message(BINDING_SUCCESS, 7, &[]));
            known.asks(path, &message(BINDING_REQUEST, 8, &[]));
        }
        assert_eq!((known.asked.len(), known.paths.len()), (MAX_ASKED, MAX_KNOWN));
    }
}
