//! Files of other versions.

use std::fs;

use super::*;

/// One for each version that was released, made with `backup` by that version; see `a_file_of_each_version_is_read`.
fn fixture(version: u32) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sqlite/tests");
    dir.join(format!("version-{version}.db"))
}

fn schema(connection: &Connection) -> Vec<String> {
    people::texts(connection, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").unwrap()
}

#[test]
fn a_file_of_each_version_is_read() {
    let (_dir, fresh) = memory();
    for version in 1..=migrate::newest(migrate::MIGRATIONS) {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(fixture(version), dir.path().join("household.db")).unwrap();
        let mut memory = open(dir.path());
        assert_eq!(schema(&memory.connection), schema(&fresh.connection), "a released script was changed");
        let anna = memory.person("Anna").unwrap().unwrap();
        assert_eq!((anna.role, anna.until, anna.invitations[0].uses_left), (Role::Owner, None, 1));
        assert_eq!((anna.sessions[0].user_id.as_str(), anna.sessions[0].label.as_str()), ("anna", "Firefox"));
        let ben = memory.person("Ben").unwrap().unwrap();
        assert_eq!((ben.role, ben.from, ben.until), (Role::Guest, Some(at(0)), Some(at(99))));
        assert_eq!(ben.grants, Grants::only_at([id("door")], Rights::of(&[Right::View])));
        assert!(memory.person("garage").unwrap().unwrap().program);
        assert_eq!(memory.device_key(&id("door")).unwrap(), Some([7; 32]));
        memory.pair(hash(90), &id("cellar"), &[8; 32], NOW).unwrap();
        assert!(memory.session(hash(2), NOW).unwrap().is_some());
        assert_eq!(memory.redeem(hash(1), "", hash(50), None, NOW).unwrap().user_id, id("anna-2"));
        assert!(!memory.is_empty().unwrap());
    }
}

/// What the fixtures hold. A new version's is written with `CALLBOX_FIXTURE=path cargo test --lib what_the_fixtures_hold`.
#[test]
fn what_the_fixtures_hold() {
    let (dir, mut memory) = memory();
    with_session(&mut memory, &Invite { uses: 2, ..owner("Anna") }, 1);
    let grants = Some(Grants::only_at([id("door")], Rights::of(&[Right::View])));
    let ben = Invite { role: Some(Role::Guest), grants, from: Some(at(0)), until: Some(at(99)), ..invite("Ben") };
    with_session(&mut memory, &ben, 10);
    memory.add_token("garage", &Grants::everywhere(Rights::of(&[Right::Open])), None, hash(20), NOW).unwrap();
    memory.claim(&id("door"), &[7; 32], NOW).unwrap();
    memory.add_pairing(&id("cellar"), hash(90), at(99)).unwrap();
    let path = std::env::var_os("CALLBOX_FIXTURE").map_or(dir.path().join("fixture"), PathBuf::from);
    memory.backup(&path).unwrap();
}

#[test]
fn a_later_script_is_run_once_and_wholly() {
    let later = [migrate::MIGRATIONS, &["ALTER TABLE people ADD COLUMN note TEXT NOT NULL DEFAULT 'none'"]].concat();
    let broken = [migrate::MIGRATIONS, &["CREATE TABLE half (x) STRICT; nonsense"]].concat();
    let (dir, mut memory) = memory();
    with_session(&mut memory, &owner("Anna"), 1);
    let error = open::open(dir.path(), &later).err().unwrap();
    assert!(error.to_string().contains("has to be converted"), "{error}");
    drop(memory);
    assert!(matches!(open::open(dir.path(), &broken), Err(StoreError::Database { .. })));
    assert_eq!(open(dir.path()).people().unwrap().len(), 1, "nothing of the broken one has stayed");
    for _ in 0..2 {
        let memory = open::open(dir.path(), &later).unwrap().memory;
        assert_eq!(migrate::version(&memory.connection).unwrap(), 2);
        assert_eq!(people::texts(&memory.connection, "SELECT note FROM people").unwrap(), ["none"]);
        assert!(memory.person("Anna").unwrap().is_some());
    }
    // And the older version refuses what it does not know.
    let error = Sqlite::open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("its format is 2") && error.contains("up to 1"), "{error}");
    assert!(!dir.path().join("household.corrupt-1.db").exists());
}
