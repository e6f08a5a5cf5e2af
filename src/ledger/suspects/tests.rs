use std::sync::mpsc;
use std::time::Duration;

use super::super::store::Filter;
use super::*;
use crate::base::runtime::channel::unbounded;

fn place(key: &str) -> Place {
    Place { input: "1".into(), bucket: "b".into(), key: key.into() }
}

fn identity(etag: &str) -> Identity {
    Identity { etag: etag.into(), ..Identity::default() }
}

/// Consecutive processes in one directory.
struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Lab {
        Lab(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> Store {
        Store::open(&self.0.path().join("ledger")).unwrap()
    }

    fn start(&self) -> Suspects {
        Suspects::open(self.0.path(), &mut self.store(), unbounded().0)
    }

    fn standing(&self, key: &str) -> Standing {
        self.start().case(place(key), identity("e")).standing
    }

    /// A process that dies while its workers decode these.
    fn dies_over(&self, keys: &[&str]) {
        let suspects = self.start();
        let cases: Vec<_> = keys.iter().map(|key| suspects.case(place(key), identity("e"))).collect();
        let decoding: Vec<_> =
            cases.iter().enumerate().map(|(worker, case)| suspects.begin(worker, Some(case))).collect();
        // A dying process does not drop its values; its locks are released.
        decoding.into_iter().for_each(std::mem::forget);
    }
}

#[test]
fn an_object_that_was_alone_at_two_deaths_is_refused() {
    let lab = Lab::new();
    lab.dies_over(&["bad", "good"]);
    assert_eq!((lab.standing("bad"), lab.standing("good")), (Standing::Suspected, Standing::Suspected));
    assert_eq!(lab.standing("other"), Standing::Unsuspected);
    lab.dies_over(&["bad"]);
    assert_eq!((lab.standing("bad"), lab.standing("good")), (Standing::Refused, Standing::Suspected));
    assert_eq!(lab.start().case(place("bad"), identity("new")).standing, Standing::Unsuspected, "replaced");
    let filter = Filter::default();
    assert_eq!(lab.store().refused(&filter).unwrap().len(), 1);
    assert_eq!(lab.store().forget_suspects(&filter).unwrap(), 1);
    assert_eq!(lab.standing("bad"), Standing::Unsuspected);
}

#[test]
fn a_message_over_which_the_process_died_twice_is_refused() {
    let lab = Lab::new();
    let message = Place { bucket: String::new(), ..place("message") };
    let case = |suspects: &Suspects| suspects.case(message.clone(), Identity::default());
    for standing in [Standing::Unsuspected, Standing::Suspected] {
        let suspects = lab.start();
        let case = case(&suspects);
        assert_eq!(case.standing, standing);
        suspects.read_message(&case, || {
            // The remains of a process that dies here.
            let path = lab.0.path().join("decoding");
            let notes = std::fs::read(&path).unwrap();
            std::fs::write(lab.0.path().join("left"), notes).unwrap();
        });
        drop(suspects);
        std::fs::rename(lab.0.path().join("left"), lab.0.path().join("decoding")).unwrap();
    }
    assert_eq!(case(&lab.start()).standing, Standing::Refused);
}

#[test]
fn many_deaths_in_company_convict_nobody() {
    let lab = Lab::new();
    for _ in 0..5 {
        lab.store().suspect(&["a", "b"].map(|key| Name::new(place(key), identity("e"))), "", 0).unwrap();
    }
    assert_eq!(lab.standing("a"), Standing::Suspected);
}

#[test]
fn one_death_is_counted_once() {
    let lab = Lab::new();
    let name = [Name::new(place("a"), identity("e"))];
    (0..3).for_each(|_| lab.store().suspect(&name, "the same run", 0).unwrap());
    assert_eq!(lab.standing("a"), Standing::Suspected);
    lab.store().suspect(&name, "another run", 0).unwrap();
    assert_eq!(lab.standing("a"), Standing::Refused);
}

#[test]
fn what_waits_or_ends_in_order_is_not_suspected() {
    let lab = Lab::new();
    let suspects = lab.start();
    let case = suspects.case(place("a"), identity("e"));
    let decoding = suspects.begin(0, Some(&case));
    let noted = || left_in(&std::fs::read(lab.0.path().join("decoding")).unwrap()).names.len();
    assert_eq!(decoding.pause(noted), 0);
    assert_eq!(noted(), 1);
    drop(decoding);
    assert_eq!(noted(), 0);
    drop(suspects);
    let suspects = lab.start();
    #[expect(clippy::mem_forget, reason = "as if the process had ended here")]
    std::mem::forget(suspects.begin(0, Some(&case)));
    suspects.end();
    // Until then its file is locked, so that nobody would read it.
    drop(suspects);
    assert_eq!(lab.standing("a"), Standing::Unsuspected);
}

#[test]
fn the_notes_of_all_processes_that_died_are_read() {
    let lab = Lab::new();
    let [collector, backfill] = [lab.start(), lab.start()];
    for (suspects, key) in [(&collector, "a"), (&backfill, "b")] {
        #[expect(clippy::mem_forget, reason = "as if the process had ended here")]
        std::mem::forget(suspects.begin(0, Some(&suspects.case(place(key), identity("e")))));
    }
    drop((collector, backfill));
    assert_eq!(
        ["a", "b", "c"].map(|key| lab.standing(key)),
        [Standing::Suspected, Standing::Suspected, Standing::Unsuspected]
    );
    let case = lab.start().case(place("a"), identity("e"));
    assert_eq!((case.key(), case.deaths()), ("a", 1));
    assert_eq!(lab.start().case(place("c"), identity("e")).deaths(), 0);
}

#[test]
fn a_suspect_is_decoded_alone_and_acquitted() {
    let lab = Lab::new();
    lab.dies_over(&["bad"]);
    let (writer, commands) = unbounded();
    let suspects = Suspects::open(lab.0.path(), &mut lab.store(), writer);
    let case = suspects.case(place("bad"), identity("e"));
    let others = suspects.begin(0, None);
    let (begun, first) = mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _alone = suspects.begin(1, Some(&case));
            begun.send(()).unwrap();
        });
        assert!(first.recv_timeout(Duration::from_millis(50)).is_err(), "it waits for the others");
        drop(others);
        first.recv().unwrap();
    });
    case.survived();
    assert!(matches!(commands.try_recv(), Ok(Command::Acquit(name)) if name.place == place("bad")));
    assert_eq!(suspects.case(place("bad"), identity("e")).standing, Standing::Unsuspected);
}
