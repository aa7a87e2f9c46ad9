//! Devices, their keys and their pairings.

use super::*;

const OURS: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

#[test]
fn an_id_belongs_to_the_key_that_came_first() {
    let (_dir, mut memory) = memory();
    let door = id("Door");
    assert_eq!(memory.device_key(&door).unwrap(), None);
    assert_eq!(memory.claim(&door, &OURS, NOW).unwrap(), Claim::New);
    let version = memory.version();
    assert_eq!(memory.claim(&door, &OURS, at(9)).unwrap(), Claim::Known);
    assert_eq!(memory.claim(&door, &OTHER, NOW).unwrap(), Claim::Refused);
    assert_eq!(memory.version(), version);
    let record = DeviceRecord { device: door.clone(), key: OURS, claimed: NOW };
    assert_eq!(memory.devices().unwrap(), [record]);
    assert!(memory.forget_device(&door).unwrap());
    assert!(!memory.forget_device(&door).unwrap());
    assert_eq!(memory.claim(&door, &OTHER, NOW).unwrap(), Claim::New);
    assert_eq!(memory.device_key(&door).unwrap(), Some(OTHER));
}

#[test]
fn no_device_and_no_browser_gets_the_other_s_id() {
    let (_dir, mut memory) = memory();
    memory.claim(&id("Door"), &OURS, NOW).unwrap();
    memory.forget_device(&id("Door")).unwrap();
    memory.add_pairing(&id("cellar"), hash(90), at(9)).unwrap();
    assert_eq!(with_session(&mut memory, &invite("Door"), 1).user_id, id("door-2"));
    assert_eq!(with_session(&mut memory, &invite("Cellar"), 5).user_id, id("cellar-2"));
    memory.revoke("door", false).unwrap();
    assert_eq!(memory.claim(&id("Door-2"), &OURS, NOW).unwrap(), Claim::Refused);
    assert!(matches!(memory.add_pairing(&id("door-2"), hash(9), at(9)), Err(MemoryError::IdTaken { .. })));
}

#[test]
fn a_pairing_counts_once_and_for_one_device() {
    let (_dir, mut memory) = memory();
    let (door, cellar) = (id("door"), id("cellar"));
    memory.add_pairing(&door, hash(1), at(9)).unwrap();
    memory.add_pairing(&door, hash(2), at(10)).unwrap();
    assert!(matches!(memory.pair(hash(1), &door, &OURS, NOW), Err(PairingRefused::Unknown)));
    assert!(matches!(memory.pair(hash(2), &cellar, &OURS, NOW), Err(PairingRefused::Unknown)));
    assert!(matches!(memory.pair(hash(2), &door, &OURS, at(10)), Err(PairingRefused::Expired)));
    memory.pair(hash(2), &door, &OURS, at(9)).unwrap();
    assert_eq!(memory.device_key(&door).unwrap(), Some(OURS));
    assert!(matches!(memory.pair(hash(2), &door, &OURS, NOW), Err(PairingRefused::Unknown)));
    memory.add_pairing(&door, hash(3), at(9)).unwrap();
    assert!(matches!(memory.pair(hash(3), &door, &OTHER, NOW), Err(PairingRefused::Taken)));
    memory.pair(hash(3), &door, &OURS, NOW).unwrap();
    memory.add_pairing(&cellar, hash(4), at(9)).unwrap();
    assert!(memory.forget_device(&cellar).unwrap());
    assert!(matches!(memory.pair(hash(4), &cellar, &OURS, NOW), Err(PairingRefused::Unknown)));
}
