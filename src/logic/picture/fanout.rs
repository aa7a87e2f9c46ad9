//! One stream of encoded pictures for many readers: a short ring, and a cursor for each reader. A reader starts at a
//! key picture, then gets every picture in order; one that falls behind learns how much it lost and goes on at a key
//! picture. It never holds up the others, and memory is bounded by [`CAPACITY`].

use std::collections::VecDeque;

/// Most items in the ring, one second at 30 pictures a second; the oldest gives way. A reader that is further behind
/// than this would show the past: it jumps to the newest key picture.
pub const CAPACITY: usize = 30;
/// A reader starts at a key picture that is at most this many items old; it would start with too long a delay otherwise.
pub const FRESH: u64 = 4;
/// A reader that is further behind than this goes on at the newest key picture if there is one before it.
pub const SLACK: u64 = 8;

/// The ring. See the module.
#[derive(Clone, Debug)]
pub struct Fanout<T> {
    items: VecDeque<Entry<T>>,
    /// Number of the next item, counted from the start of the stream.
    next: u64,
}

/// A reader's position in a [`Fanout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Position);

/// What [`Fanout::next`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next<T> {
    Item(T),
    /// The reader was too slow: `lost` items were skipped. The cursor stands at the newest key picture, or waits for
    /// one ([`Cursor::wants_key`]).
    Lagged {
        lost: u64,
    },
    /// Nothing yet. If the cursor waits for a key picture, ask the encoder for one.
    Empty,
}

impl<T: Clone> Fanout<T> {
    pub fn new() -> Self {
        Fanout { items: VecDeque::with_capacity(CAPACITY), next: 0 }
    }

    /// Appends an item; `key` marks one that a reader can start at.
    pub fn push(&mut self, item: T, key: bool) {
        if self.items.len() == CAPACITY {
            self.items.pop_front();
        }
        self.items.push_back(Entry { item, key });
        self.next += 1;
    }

    /// Forgets every item: another stream begins. Readers keep their place, and go on at its first key picture.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// A reader that starts at the newest key picture if that is [`FRESH`], else at the next one to come.
    pub fn subscribe(&self) -> Cursor {
        match self.newest_key() {
            Some(key) if self.next - key <= FRESH => Cursor(Position::At(key)),
            Some(_) | None => Cursor(Position::WaitingFrom(self.next)),
        }
    }

    /// What the reader at `cursor` gets now; moves the cursor past it.
    pub fn next(&self, cursor: &mut Cursor) -> Next<T> {
        match cursor.0 {
            Position::At(at) if at >= self.next => Next::Empty,
            Position::At(at) => {
                let behind = self.next - at;
                match self.newest_key() {
                    Some(key) if key > at && behind > SLACK => self.lag(cursor, at, Position::At(key), key),
                    Some(_) | None => match self.get(at) {
                        Some(entry) => {
                            cursor.0 = Position::At(at + 1);
                            Next::Item(entry.item.clone())
                        }
                        None => self.lag(cursor, at, Position::WaitingFrom(self.next), self.next),
                    },
                }
            }
            Position::WaitingFrom(from) => match self.newest_key() {
                Some(key) if key >= from => {
                    cursor.0 = Position::At(key);
                    self.next(cursor)
                }
                Some(_) | None => Next::Empty,
            },
        }
    }

    /// Items in the ring.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn lag(&self, cursor: &mut Cursor, from: u64, position: Position, to: u64) -> Next<T> {
        cursor.0 = position;
        Next::Lagged { lost: to - from }
    }

    fn first(&self) -> u64 {
        self.next - self.items.len() as u64
    }

    fn get(&self, number: u64) -> Option<&Entry<T>> {
        self.items.get(usize::try_from(number.checked_sub(self.first())?).ok()?)
    }

    fn newest_key(&self) -> Option<u64> {
        Some(self.first() + self.items.iter().rposition(|entry| entry.key)? as u64)
    }
}

impl<T: Clone> Default for Fanout<T> {
    fn default() -> Self {
        Fanout::new()
    }
}

impl Cursor {
    /// The reader gets nothing before the next key picture.
    pub fn wants_key(&self) -> bool {
        match self.0 {
            Position::At(_) => false,
            Position::WaitingFrom(_) => true,
        }
    }
}

#[derive(Clone, Debug)]
struct Entry<T> {
    item: T,
    key: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Number of the item to read next.
    At(u64),
    /// Waits for a key picture with this number or a later one.
    WaitingFrom(u64),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fanout(keys: &[bool]) -> Fanout<usize> {
        let mut fanout = Fanout::new();
        for (number, &key) in keys.iter().enumerate() {
            fanout.push(number, key);
        }
        fanout
    }

    #[test]
    fn starts_at_a_fresh_key_picture() {
        let fanout = fanout(&[true, false, true, false]);
        let mut cursor = fanout.subscribe();
        assert!(!cursor.wants_key());
        assert_eq!(fanout.next(&mut cursor), Next::Item(2));
        assert_eq!(fanout.next(&mut cursor), Next::Item(3));
        assert_eq!(fanout.next(&mut cursor), Next::Empty);
    }

    #[test]
    fn waits_where_the_key_picture_is_old() {
        let mut fanout = fanout(&[true, false, false, false, false]);
        let mut cursor = fanout.subscribe();
        assert!(cursor.wants_key());
        assert_eq!(fanout.next(&mut cursor), Next::Empty);
        fanout.push(5, false);
        assert_eq!(fanout.next(&mut cursor), Next::Empty);
        fanout.push(6, true);
        fanout.push(7, false);
        assert_eq!(fanout.next(&mut cursor), Next::Item(6));
        assert_eq!(fanout.next(&mut cursor), Next::Item(7));
    }

    #[test]
    fn a_reader_slightly_behind_loses_nothing_at_a_key_picture() {
        let mut fanout = fanout(&[true]);
        let mut cursor = fanout.subscribe();
        for number in 1..=SLACK as usize - 1 {
            fanout.push(number, number == 3);
        }
        for number in 0..SLACK as usize {
            assert_eq!(fanout.next(&mut cursor), Next::Item(number));
        }
    }

    #[test]
    fn a_reader_far_behind_jumps_to_the_newest_key_picture() {
        let mut fanout = fanout(&[true]);
        let mut cursor = fanout.subscribe();
        assert_eq!(fanout.next(&mut cursor), Next::Item(0));
        for number in 1..=12 {
            fanout.push(number, number == 11);
        }
        assert_eq!(fanout.next(&mut cursor), Next::Lagged { lost: 10 });
        assert_eq!(fanout.next(&mut cursor), Next::Item(11));
    }

    #[test]
    fn a_reader_that_fell_out_of_the_ring_waits_for_a_key_picture() {
        let mut fanout = fanout(&[true]);
        let mut cursor = fanout.subscribe();
        for number in 1..=CAPACITY {
            fanout.push(number, false);
        }
        assert_eq!(fanout.next(&mut cursor), Next::Lagged { lost: CAPACITY as u64 + 1 });
        assert!(cursor.wants_key());
        assert_eq!(fanout.next(&mut cursor), Next::Empty);
        fanout.push(100, true);
        assert_eq!(fanout.next(&mut cursor), Next::Item(100));
    }

    #[test]
    fn readers_of_a_stream_that_ended_go_on_in_the_next() {
        let mut fanout = fanout(&[true, false, false]);
        let (mut behind, mut abreast) = (fanout.subscribe(), fanout.subscribe());
        while fanout.next(&mut abreast) != Next::Empty {}
        fanout.clear();
        let mut late = fanout.subscribe();
        assert_eq!(fanout.next(&mut late), Next::Empty, "nothing of the last stream is shown");
        assert_eq!(fanout.next(&mut behind), Next::Lagged { lost: 3 });
        fanout.push(7, true);
        for reader in [&mut behind, &mut abreast, &mut late] {
            assert_eq!(fanout.next(reader), Next::Item(7));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Push(bool),
        Subscribe,
        Read(usize, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => prop::bool::weighted(0.05).prop_map(Step::Push),
            1 => Just(Step::Subscribe),
            4 => (0..4usize, 0..6usize).prop_map(|(reader, times)| Step::Read(reader, times)),
        ]
    }

    proptest! {
        #[test]
        fn readers_start_at_key_pictures_and_learn_of_every_gap(steps in prop::collection::vec(step(), 0..400)) {
            let mut fanout = Fanout::new();
            let mut keys = Vec::new();
            // Each reader: its cursor, and the item that must come next if there must be a certain one.
            let mut readers: Vec<(Cursor, Option<usize>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(key) => {
                        fanout.push(keys.len(), key);
                        keys.push(key);
                        prop_assert!(fanout.len() <= CAPACITY);
                    }
                    Step::Subscribe if readers.len() < 4 => readers.push((fanout.subscribe(), None)),
                    Step::Subscribe => {}
                    Step::Read(reader, times) => {
                        let Some((cursor, expected)) = readers.get_mut(reader) else { continue };
                        for _ in 0..times {
                            match fanout.next(cursor) {
                                Next::Item(item) => {
                                    match *expected {
                                        Some(number) => prop_assert_eq!(item, number),
                                        None => prop_assert!(keys[item]),
                                    }
                                    prop_assert!(keys.len() - item <= CAPACITY);
                                    *expected = Some(item + 1);
                                }
                                Next::Lagged { lost } => {
                                    prop_assert!(lost > 0);
                                    *expected = None;
                                }
                                Next::Empty => prop_assert!(cursor.wants_key() || *expected == Some(keys.len())),
                            }
                        }
                    }
                }
            }
        }
    }
}
