use std::fs;

use flashguard_actors::journal::fold::Folding;
use flashguard_actors::journal::record::Fold;
use flashguard_actors::ports::views::{OrderFilter, Views as _};
use serde::{Deserialize, Serialize};

use super::*;
use crate::stores::sqlite::journal::{SqliteReader, SqliteReaders};
use crate::stores::sqlite::testing::{LONG, fill, note, open};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Counted(u64);

impl Fold for Counted {
    const VERSION: u32 = 1;
    fn apply(&mut self, _: &Record) {
        self.0 += 1;
    }
}

fn start(folder: &Path, journal: &Journal) -> (Follower, SqliteViews) {
    let readers = Arc::new(SqliteReaders::new(folder.join("journal.db")));
    let folds: Vec<Box<dyn Running>> = vec![Box::new(Folding::<Counted>::new("counted"))];
    Follower::start(&folder.join("views.db"), readers, journal.clone(), folds).unwrap()
}

fn all_orders(views: &SqliteViews, journal: &Journal) -> usize {
    let size = journal.head().size;
    assert_eq!(views.wait_for(size, LONG).unwrap(), size);
    let filter = OrderFilter {
        limit: 1_000,
        ..OrderFilter::default()
    };
    let page = views.orders(&filter).unwrap();
    assert_eq!(page.as_of, size);
    page.items.len()
}

#[test]
fn views_that_are_gone_broken_or_of_another_journal_are_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(&folder.path().join("journal.db"));
    fill(&journal, 20);
    let views_path = folder.path().join("views.db");
    let other = tempfile::tempdir().unwrap();
    let (other_journal, _) = open(&other.path().join("journal.db"));
    fill(&other_journal, 40);
    let (follower, views) = start(other.path(), &other_journal);
    assert_eq!(all_orders(&views, &other_journal), 40);
    follower.stop();

    let spoil: [&dyn Fn(); 5] = [
        &|| {},
        &|| fs::remove_file(&views_path).unwrap(),
        &|| fs::write(&views_path, b"nonsense".repeat(4_000)).unwrap(),
        &|| {
            let half = fs::read(&views_path).unwrap();
            fs::write(&views_path, &half[..half.len() / 2]).unwrap();
        },
        &|| assert!(fs::copy(other.path().join("views.db"), &views_path).is_ok()),
    ];
    for (at, spoil) in spoil.iter().enumerate() {
        let (follower, views) = start(folder.path(), &journal);
        assert_eq!(all_orders(&views, &journal), 20, "{at}");
        follower.stop();
        spoil();
    }
    let (_follower, views) = start(folder.path(), &journal);
    assert_eq!(all_orders(&views, &journal), 20);
}

#[test]
fn views_go_on_where_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(&folder.path().join("journal.db"));
    fill(&journal, 20);
    let (follower, views) = start(folder.path(), &journal);
    all_orders(&views, &journal);
    follower.stop();
    let made = fs::metadata(folder.path().join("views.db")).unwrap();
    journal.append(note(1)).wait(LONG).unwrap().unwrap();
    let (_follower, views) = start(folder.path(), &journal);
    assert_eq!(all_orders(&views, &journal), 20);
    let inode = |m: &fs::Metadata| std::os::unix::fs::MetadataExt::ino(m);
    let now = fs::metadata(folder.path().join("views.db")).unwrap();
    assert_eq!(inode(&made), inode(&now));
}

#[test]
fn folds_start_from_the_snapshot_of_an_orderly_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let (journal, _) = open(&path);
    fill(&journal, 50);
    let (follower, _views) = start(folder.path(), &journal);
    follower.stop();
    journal.close().unwrap();
    let reader = SqliteReader::open(&path).unwrap();
    let size = reader.head().unwrap().size;
    assert_eq!(reader.snapshot("counted").unwrap().unwrap().size, size);
    let mut fold = Folding::<Counted>::new("counted");
    assert!(fold::load(&mut [&mut fold], &reader).unwrap().is_empty());
    assert_eq!((fold.state, size), (Counted(size), size));
}

#[test]
fn snapshots_are_handed_over_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let (journal, _) = open(&path);
    let (_follower, views) = start(folder.path(), &journal);
    let mut sent = 0;
    while sent <= SNAPSHOT_RECORDS {
        let acks: Vec<_> = (0..2_000).map(|n| journal.append(note(n))).collect();
        assert!(acks.iter().all(|ack| ack.wait(LONG).unwrap().is_ok()));
        sent += 2_000;
    }
    let size = journal.head().size;
    assert_eq!(views.wait_for(size, LONG).unwrap(), size);
    // The views are told of before the snapshot is handed over, and a later group carries it.
    let reader = SqliteReader::open(&path).unwrap();
    let kept = (0..1_000).find_map(|n| {
        journal.append(note(n)).wait(LONG).unwrap().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
        reader.snapshot("counted").unwrap()
    });
    let kept = kept.expect("a snapshot while it runs").size;
    assert!(kept >= SNAPSHOT_RECORDS, "{kept}");
}
