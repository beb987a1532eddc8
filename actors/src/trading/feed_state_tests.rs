use rust_decimal::Decimal;

use super::*;

fn symbol() -> Symbol {
    Symbol::parse("SEI/USDC").unwrap()
}

fn quote(bid: i64) -> Quote {
    Quote {
        bid: Decimal::new(bid, 4),
        ask: Decimal::new(bid + 2, 4),
    }
}

/// A message that needed 3 ms.
fn hear(feed: &mut FeedState, seq: u64, now: u64) -> Heard {
    feed.heard(seq, UnixMicros((now - 3) * 1_000), now)
}

fn taken(missing: u64, as_of_boot_ms: u64) -> Heard {
    Heard::Take {
        as_of_boot_ms,
        missing,
    }
}

fn re_read(feed: &mut FeedState) {
    let asked = feed.ask();
    feed.books_read(&asked);
    feed.fills_read(&asked);
}

/// Open since 1 s, and re-read.
fn live() -> FeedState {
    let mut feed = FeedState::new(true);
    feed.opened(1_000);
    re_read(&mut feed);
    assert_eq!(feed.phase(true), Phase::Live);
    feed
}

#[test]
fn it_is_live_once_everything_was_read_after_its_opening() {
    let mut feed = FeedState::new(true);
    assert_eq!(feed.phase(true), Phase::Away);
    let before = feed.ask();
    feed.opened(1_000);
    feed.books_read(&before);
    feed.fills_read(&before);
    assert_eq!(feed.phase(true), Phase::ReRead, "asked before it was open");
    let behind = feed.ask();
    feed.fills_read(&behind);
    assert_eq!(feed.phase(true), Phase::ReRead);
    assert_eq!(feed.phase(false), Phase::Live, "a halt pauses books");
    feed.books_read(&behind);
    assert_eq!(feed.phase(true), Phase::Live);
    feed.ended(2_000, 0);
    assert_eq!(feed.phase(true), Phase::Away);
}

#[test]
fn a_venue_without_a_feed_is_polled() {
    let feed = FeedState::new(false);
    assert_eq!(feed.phase(true), Phase::None);
    assert_eq!(feed.books_due_after_ms(2_000), BOOKS_EVERY_MS);
    assert_eq!(feed.fills_due_after_ms(), FILLS_EVERY_MS);
}

#[test]
fn a_jump_in_the_numbers_is_a_gap_that_only_a_later_re_read_ends() {
    let mut feed = live();
    assert_eq!(hear(&mut feed, 1, 1_010), taken(0, 1_010));
    let before = feed.ask();
    assert_eq!(hear(&mut feed, 4, 1_020), taken(2, 1_020));
    assert_eq!(feed.phase(true), Phase::ReRead);
    feed.books_read(&before);
    feed.fills_read(&before);
    assert_eq!(feed.phase(true), Phase::ReRead, "asked before the gap");
    re_read(&mut feed);
    assert_eq!(feed.phase(true), Phase::Live);
    assert_eq!(feed.counts(), (1, 1));
}

#[test]
fn the_first_message_of_a_connection_can_be_missing_too() {
    let mut feed = live();
    assert_eq!(hear(&mut feed, 2, 1_010), taken(1, 1_010));
    assert_eq!(feed.phase(true), Phase::ReRead);
}

#[test]
fn a_doubled_message_and_one_behind_its_gap_are_passed_over() {
    let mut feed = live();
    hear(&mut feed, 1, 1_010);
    assert_eq!(hear(&mut feed, 1, 1_011), Heard::Old);
    hear(&mut feed, 3, 1_012);
    assert_eq!(hear(&mut feed, 2, 1_013), Heard::Old);
    assert_eq!(hear(&mut feed, 4, 1_014), taken(0, 1_014));
}

#[test]
fn what_arrives_late_is_as_old_as_it_is_late_and_not_trusted_beyond_a_bound() {
    let mut feed = live();
    let mut late = |seq, late_ms: u64| {
        let now = 20_000 + late_ms;
        feed.heard(seq, UnixMicros(19_997_000), now)
    };
    assert_eq!(late(1, 0), taken(0, 20_000));
    assert_eq!(late(2, 700), taken(0, 20_000));
    assert_eq!(late(3, LATE_MAX_MS), taken(0, 20_000));
    assert_eq!(late(4, LATE_MAX_MS + 1), Heard::Late);
}

#[test]
fn while_it_is_live_the_venue_is_only_compared_and_a_reference_never_grows_too_old() {
    let mut feed = live();
    assert_eq!(feed.fills_due_after_ms(), FILLS_CHECK_EVERY_MS);
    for (max_age_ms, due) in [(60_000, 1_000), (2_000, 1_000), (900, 450), (100, 250)] {
        assert_eq!(feed.books_due_after_ms(max_age_ms), due);
    }
    hear(&mut feed, 3, 1_010);
    assert_eq!(feed.books_due_after_ms(2_000), BOOKS_EVERY_MS);
    assert_eq!(feed.fills_due_after_ms(), FILLS_EVERY_MS);
}

#[test]
fn a_book_that_changed_untold_is_a_gap_that_is_not_announced() {
    let mut feed = live();
    feed.told_book(&symbol(), quote(2_499));
    let asked = feed.ask();
    feed.read_book(&asked, &symbol(), quote(2_499), 2_000);
    feed.read_book(&asked, &symbol(), quote(2_400), 3_000);
    assert_eq!(feed.overdue(3_000 + UNTOLD_MAX_MS - 1), None);
    assert!(feed.overdue(3_000 + UNTOLD_MAX_MS).is_some());
    // Told of in time.
    feed.told_book(&symbol(), quote(2_400));
    assert_eq!(feed.overdue(9_000), None);
    // Or it is as before again.
    let asked = feed.ask();
    feed.read_book(&asked, &symbol(), quote(2_300), 9_000);
    feed.read_book(&asked, &symbol(), quote(2_400), 9_500);
    assert_eq!(feed.overdue(20_000), None);
}

#[test]
fn a_book_that_was_told_of_since_the_question_is_no_difference() {
    let mut feed = live();
    feed.told_book(&symbol(), quote(2_499));
    let asked = feed.ask();
    feed.told_book(&symbol(), quote(2_500));
    feed.read_book(&asked, &symbol(), quote(2_499), 2_000);
    assert_eq!(feed.overdue(20_000), None);
}

#[test]
fn a_fill_that_is_not_told_is_a_gap_that_is_not_announced() {
    let mut feed = live();
    let asked = feed.ask();
    feed.counted_first(&asked, &["7".to_owned(), "8".to_owned()], 2_000);
    feed.told_fill("7");
    assert_eq!(feed.overdue(2_000 + UNTOLD_MAX_MS - 1), None);
    assert!(feed.overdue(2_000 + UNTOLD_MAX_MS).is_some());
    feed.told_fill("8");
    assert_eq!(feed.overdue(20_000), None);
}

#[test]
fn what_a_gap_explains_is_not_held_against_the_feed() {
    let mut feed = live();
    let asked = feed.ask();
    feed.counted_first(&asked, &["7".to_owned()], 2_000);
    feed.read_book(&asked, &symbol(), quote(2_400), 2_000);
    hear(&mut feed, 3, 2_010);
    assert_eq!(feed.overdue(20_000), None);
    feed.counted_first(&asked, &["8".to_owned()], 2_020);
    feed.read_book(&asked, &symbol(), quote(2_300), 2_020);
    assert_eq!(feed.overdue(20_000), None);
    // Nor is what happened before it was live.
    let asked = feed.ask();
    feed.counted_first(&asked, &["9".to_owned()], 2_030);
    assert_eq!(feed.overdue(20_000), None);
}

#[test]
fn the_wait_before_it_is_opened_again_grows_to_a_bound_and_begins_anew_once_it_was_live() {
    let mut feed = FeedState::new(true);
    let longest: Vec<_> = (0..40).map(|_| feed.ended(0, 1 << 62)).collect();
    assert!(longest.iter().all(|wait| *wait <= REOPEN_LONGEST_MS));
    let mut feed = FeedState::new(true);
    let shortest: Vec<_> = (0..40).map(|_| feed.ended(0, 0)).collect();
    assert_eq!(&shortest[..3], &[125, 250, 500]);
    assert_eq!(shortest[39], REOPEN_LONGEST_MS / 2);
    feed.opened(0);
    assert_eq!(feed.ended(0, 0), REOPEN_LONGEST_MS / 2, "it was never live");
    feed.opened(0);
    re_read(&mut feed);
    assert_eq!(feed.ended(0, 0), 125);
}

#[test]
fn a_fill_that_cannot_be_counted_from_the_feed_calls_for_the_re_read() {
    let mut feed = live();
    feed.left_fill();
    assert_eq!(feed.phase(true), Phase::ReRead);
    re_read(&mut feed);
    assert_eq!(feed.phase(true), Phase::Live);
}
