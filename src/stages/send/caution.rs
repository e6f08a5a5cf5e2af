//! Shared knowledge of an output's senders about a peer that ends connections. The code is pure: times are arguments.
//!
//! Two things end healthy connections: a record that is sent, and the peer's own habits (it restarts, or closes after
//! so many bytes or milliseconds). Both leave everything unconfirmed, and sending it again in the same way would end
//! the same way. So connections carry less after some that confirmed nothing, and a batch that was on several of them
//! is sent alone.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::limits::{
    PROBE_LOOKS_MAX, SEND_BARREN_CONNECTIONS, SEND_CAREFUL_BATCHES_MAX, SEND_CROWDED_TIME, SEND_CUTS_MAX,
    SEND_DOUBT_TIME, SEND_LIFETIME_RETRY, SEND_PROOF_TIMEOUT, SEND_PROOF_TIMEOUT_MAX, SUSPECT_STRIKES,
    SUSPECTS_TOGETHER,
};
use crate::handoff::{Batch, Trial};

/// The state shared by an output's senders.
#[derive(Debug, Default)]
pub struct Caution {
    /// Connections that the peer ended since the last confirmation.
    barren: u32,
    /// Batches that a connection may carry; None for no limit.
    allowance: Option<u32>,
    /// Whether a connection without data lives for less than the settling time, if that has been tested.
    hasty: Option<(bool, Instant)>,
    /// Connections that the peer has ended with unconfirmed batches on them.
    ends: u64,
    /// When the latest of these was seen.
    ended_at: Option<Instant>,
    /// The number of these when the latest of the confirmed batches was written.
    proven: u64,
    /// The peer has accepted us and taken something.
    has_confirmed: bool,
    /// The peer has accepted us.
    has_accepted: bool,
    /// The peer has sent a TLS close_notify before it ended a connection.
    says_goodbye: bool,
    /// Consecutive ends without one since then.
    cuts: u32,
    /// Whether the peer ends connections after we have ended them, if that is known.
    answers: Option<bool>,
    /// Until then, the peer is taken for one that serves only so many connections at a time.
    crowded_until: Option<Instant>,
    /// How long it may take for that; none: as long as usual.
    patience: Option<Duration>,
    /// A frame that was confirmed.
    probe: Option<Arc<[u8]>>,
    /// Batches that were searched for one.
    looked_at: u32,
    /// Batches to send alone, in any order.
    suspects: VecDeque<Batch>,
}

impl Caution {
    /// Batches that the next connection may carry before it is closed.
    pub fn allowance(&self) -> Option<u32> {
        self.allowance
    }

    /// Number of connections that the peer has ended. A batch written now and confirmed later proves that the peer took
    /// something after the last of them.
    pub fn ends(&self) -> u64 {
        self.ends
    }

    /// Notes that the peer has ended a working connection with unconfirmed batches on it. `barren` means that nothing
    /// on it was confirmed.
    pub fn ended(&mut self, barren: bool, now: Instant) {
        self.count_end(now);
        self.barren += u32::from(barren);
        if self.barren >= SEND_BARREN_CONNECTIONS || (barren && self.allowance.is_some()) {
            self.allowance = Some(1);
        }
    }

    fn count_end(&mut self, now: Instant) {
        self.ends += 1;
        self.ended_at = Some(now);
    }

    /// True if the peer has ended a connection because of its content a short while ago, or may have done so. Its end of another one
    /// after our close is no proof then, unless it had time to read what was sent before.
    pub fn has_ended_lately(&self, now: Instant) -> bool {
        self.ended_at.is_some_and(|at| now.saturating_duration_since(at) < SEND_DOUBT_TIME)
    }

    /// True if it should be tested whether a connection without data survives. This distinguishes a peer that closes
    /// everything early from one that closes because of its input.
    pub fn wants_trial(&self, now: Instant) -> bool {
        self.allowance.is_some()
            && self.hasty.is_none_or(|(hasty, at)| hasty && now >= at + SEND_LIFETIME_RETRY)
    }

    /// Notes whether a connection without data has lived for longer than the settling time.
    pub fn tried(&mut self, lives: bool, now: Instant) {
        self.hasty = Some((!lives, now));
        if !lives {
            self.allowance = self.allowance.or(Some(1));
        }
    }

    /// True if the peer's connections do not live for the settling time. Their batches are confirmed by their orderly
    /// end.
    pub fn is_hasty(&self) -> bool {
        self.hasty.is_some_and(|(hasty, _)| hasty)
    }

    /// Notes that a connection with this many batches has ended in good order, which confirms the remaining ones, the
    /// last of them written after this many `ends`. `is_full`: an unlimited one would have carried no more.
    pub fn ended_well(&mut self, carried: u32, is_full: bool, ends: Option<u64>) {
        if let Some(ends) = ends {
            self.confirmed(ends);
        }
        if let Some(allowed) = self.allowance.filter(|allowed| is_full || carried >= *allowed) {
            let next = (2 * allowed).min(SEND_CAREFUL_BATCHES_MAX);
            self.allowance = Some(next).filter(|_| self.is_hasty() || next > allowed);
        }
    }

    /// Notes that a connection has outlived some batches by the settling time, the last of them written after this many
    /// `ends`. Unless it was a `limited` one, connections are no longer limited.
    pub fn outlived(&mut self, ends: u64, limited: bool) {
        self.confirmed(ends);
        if !limited {
            (self.allowance, self.hasty) = (None, None);
        }
    }

    fn confirmed(&mut self, ends: u64) {
        (self.barren, self.has_confirmed) = (0, true);
        self.proven = self.proven.max(ends);
    }

    /// Whether the peer's end of a connection can confirm its batches. Some peers never end one.
    pub fn expects_answers(&self) -> bool {
        self.answers != Some(false)
    }

    /// True if the peer is known to end connections after we have.
    pub fn has_answered(&self) -> bool {
        self.answers == Some(true)
    }

    /// Notes that a connection was not even shaken hands with: the peer may serve only so many at a time, and leave the others
    /// waiting.
    pub fn crowded(&mut self, now: Instant) {
        self.crowded_until = Some(now + SEND_CROWDED_TIME);
    }

    /// True if there should be no more connections than senders, and no more senders.
    pub fn is_crowded(&self, now: Instant) -> bool {
        self.crowded_until.is_some_and(|until| now < until)
    }

    /// How long the peer may take to end a connection, after its kernel has taken our last bytes. Its program, and
    /// whatever stands between, may still have megabytes to read.
    pub fn patience(&self) -> Duration {
        self.patience.unwrap_or(SEND_PROOF_TIMEOUT)
    }

    /// Notes that the peer has not ended a connection in that time. It gets twice as long from now on: a slow peer
    /// would otherwise get the same bytes again and again.
    pub fn unanswered(&mut self) {
        self.patience = Some((2 * self.patience()).min(SEND_PROOF_TIMEOUT_MAX));
    }

    /// Notes that the peer has not ended any connection yet. It gets this time, on the same connections.
    pub fn wait_for(&mut self, time: Duration) {
        self.patience = Some(time);
    }

    /// Notes that the peer has ended a connection in good order, this long after it last took something. The next one may
    /// carry far more than this one, so the patience shrinks by half at most.
    pub fn took(&mut self, time: Duration) {
        let patience = (2 * time).max(self.patience() / 2);
        self.patience = Some(patience.clamp(SEND_PROOF_TIMEOUT, SEND_PROOF_TIMEOUT_MAX));
    }

    /// Notes that the peer ends no connections. Returns true if that is new.
    pub fn never_answers(&mut self) -> bool {
        self.answers.replace(false) != Some(false)
    }

    /// Notes that the peer has ended a connection after we had; `goodbye` means with a TLS close_notify. Returns false
    /// if it usually sends one, but did not this time, so that the end may be a balancer's.
    pub fn answered(&mut self, goodbye: bool) -> bool {
        self.answers = Some(true);
        self.says_goodbye |= goodbye;
        self.cuts = if goodbye { 0 } else { self.cuts + u32::from(self.says_goodbye) };
        goodbye || !self.says_goodbye
    }

    /// True, once, if so many ends in a row had no close_notify that it should be tested whether the peer still sends any.
    pub fn takes_goodbye_test(&mut self) -> bool {
        let is_due = self.cuts >= SEND_CUTS_MAX;
        if is_due {
            self.cuts = 0;
        }
        is_due
    }

    /// Notes that the peer no longer sends a close_notify.
    pub fn forget_goodbye(&mut self) {
        (self.says_goodbye, self.cuts) = (false, 0);
    }

    /// A frame that the peer has once accepted, to test whether it still accepts anything.
    pub fn probe(&self) -> Option<Arc<[u8]>> {
        self.probe.clone()
    }

    /// Keeps a frame for that if there is none yet. It gives up if frames are too long.
    pub fn keep_probe(&mut self, frame: impl FnOnce() -> Option<Vec<u8>>) {
        if self.probe.is_none() && self.looked_at < PROBE_LOOKS_MAX {
            self.looked_at += 1;
            self.probe = frame().map(Arc::from);
        }
    }

    /// Drops it because the peer no longer accepts it. Another one replaces it when something is confirmed.
    pub fn drop_probe(&mut self) {
        (self.probe, self.looked_at) = (None, 0);
    }

    /// Notes that a batch was unconfirmed on the connection that the peer has ended last.
    pub fn strike(&self, trial: &mut Trial) {
        trial.strikes += 1;
        trial.since = self.ends;
    }

    /// Notes that the peer has ended a connection on which the batch was alone. Returns true if something else was sent
    /// and confirmed since it last did so.
    pub fn strike_alone(&mut self, trial: &mut Trial, now: Instant) -> bool {
        let witnessed = self.proven >= trial.since;
        self.count_end(now);
        self.strike(trial);
        witnessed
    }

    /// True if such a batch must go over a connection separate from new batches.
    pub fn is_suspect(trial: &Trial) -> bool {
        trial.strikes >= SUSPECT_STRIKES
    }

    /// The number of suspects that may share such a connection, if one of them has this history.
    pub fn together(trial: &Trial) -> usize {
        if trial.suspected.is_some() {
            return 1;
        }
        let step = trial.strikes.saturating_sub(SUSPECT_STRIKES) as usize;
        SUSPECTS_TOGETHER.get(step).copied().unwrap_or(1)
    }

    pub fn has_suspects(&self) -> bool {
        !self.suspects.is_empty()
    }

    /// True if a suspect should be sent now.
    pub fn has_due(&self, now: Instant) -> bool {
        self.suspects.iter().any(|suspect| is_due(&suspect.trial, now))
    }

    /// Suspects to send over one connection now.
    pub fn take_due(&mut self, now: Instant) -> Vec<Batch> {
        let mut taken: Vec<Batch> = Vec::new();
        let mut room = usize::MAX;
        while taken.len() < room {
            let fits = |suspect: &Batch| {
                is_due(&suspect.trial, now) && Caution::together(&suspect.trial) > taken.len()
            };
            let Some(at) = self.suspects.iter().position(fits) else { break };
            let Some(suspect) = self.suspects.remove(at) else { break };
            room = room.min(Caution::together(&suspect.trial));
            taken.push(suspect);
        }
        taken
    }

    /// Delays a suspect until its next trial.
    pub fn put(&mut self, suspect: Batch) {
        self.suspects.push_back(suspect);
    }

    /// Notes that the peer has accepted us on a connection without data.
    pub fn accepted(&mut self) {
        self.has_accepted = true;
    }

    /// The peer has accepted us on an earlier connection.
    pub fn has_accepted(&self) -> bool {
        self.has_accepted || self.has_confirmed
    }

    /// The peer has accepted us, and taken something, on an earlier connection.
    pub fn has_confirmed(&self) -> bool {
        self.has_confirmed
    }
}

pub fn is_due(trial: &Trial, now: Instant) -> bool {
    trial.not_before.is_none_or(|time| time <= now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::Ack;

    fn batch() -> Batch {
        Batch::new(Arc::default(), 1, Ack::open(|_| ()).share())
    }

    #[test]
    fn connections_carry_little_after_some_in_a_row_were_of_no_use() {
        let mut caution = Caution::default();
        for _ in 0..5 {
            caution.ended(true, Instant::now());
            caution.ended(false, Instant::now());
            caution.ended(true, Instant::now());
            assert_eq!(caution.allowance(), None);
            caution.outlived(0, false);
        }
        (0..SEND_BARREN_CONNECTIONS).for_each(|_| caution.ended(true, Instant::now()));
        assert_eq!(caution.allowance(), Some(1));
    }

    #[test]
    fn they_carry_more_as_long_as_that_works_and_one_batch_when_it_does_not() {
        let mut caution = Caution { allowance: Some(1), ..Caution::default() };
        caution.ended_well(1, false, Some(0));
        caution.ended_well(1, false, Some(0));
        assert_eq!(caution.allowance(), Some(2), "the second connection carried less than is allowed by now");
        caution.ended_well(2, false, Some(0));
        assert_eq!(caution.allowance(), Some(4));
        caution.ended(true, Instant::now());
        assert_eq!(caution.allowance(), Some(1));
        let doubled = std::iter::successors(Some(1), |n| Some(n * 2));
        for carried in doubled.take_while(|n| *n <= SEND_CAREFUL_BATCHES_MAX) {
            caution.ended_well(carried, false, Some(0));
        }
        assert_eq!(caution.allowance(), None);
    }

    /// Three and a half megabytes are 14 batches of the usual size.
    #[test]
    fn a_connection_that_carries_as_much_as_an_unlimited_one_lifts_the_limit() {
        let mut caution = Caution::default();
        (0..SEND_BARREN_CONNECTIONS).for_each(|_| caution.ended(true, Instant::now()));
        for carried in [1, 2, 4, 8, 14, 14] {
            caution.ended_well(carried, carried == 14, Some(0));
        }
        caution.ended_well(14, true, Some(0));
        assert_eq!(caution.allowance(), None);
    }

    #[test]
    fn a_peer_that_leaves_connections_waiting_is_crowded_for_a_while() {
        let (mut caution, now) = (Caution::default(), Instant::now());
        assert!(!caution.is_crowded(now));
        caution.crowded(now);
        assert!(caution.is_crowded(now) && !caution.is_crowded(now + SEND_CROWDED_TIME));
    }

    #[test]
    fn a_peer_that_has_ended_a_connection_is_doubted_for_a_while() {
        let (mut caution, now) = (Caution::default(), Instant::now());
        assert!(!caution.has_ended_lately(now));
        caution.ended(false, now);
        assert!(caution.has_ended_lately(now) && !caution.has_ended_lately(now + SEND_DOUBT_TIME));
        caution.strike_alone(&mut Trial::default(), now + SEND_DOUBT_TIME);
        assert!(caution.has_ended_lately(now + SEND_DOUBT_TIME));
    }

    #[test]
    fn a_batch_is_a_suspect_after_some_strikes_and_waits_for_its_time() {
        let (mut caution, now) = (Caution::default(), Instant::now());
        let mut suspect = batch();
        while !Caution::is_suspect(&suspect.trial) {
            caution.strike(&mut suspect.trial);
        }
        assert_eq!(suspect.trial.strikes, SUSPECT_STRIKES);
        let due = now + Duration::from_secs(1);
        suspect.trial.not_before = Some(due);
        caution.put(suspect);
        assert!(caution.has_suspects() && !caution.has_due(now) && caution.take_due(now).is_empty());
        assert!(caution.has_due(due) && caution.take_due(due).len() == 1);
    }

    #[test]
    fn suspects_go_together_until_they_have_failed_so_too() {
        let (mut caution, now) = (Caution::default(), Instant::now());
        let suspect = |strikes| Batch { trial: Trial { strikes, ..Trial::default() }, ..batch() };
        (0..20).for_each(|_| caution.put(suspect(SUSPECT_STRIKES)));
        (0..5).for_each(|_| caution.put(suspect(SUSPECT_STRIKES + 1)));
        (0..2).for_each(|_| caution.put(suspect(SUSPECT_STRIKES + 2)));
        let mut suspected = suspect(SUSPECT_STRIKES);
        suspected.trial.suspected = Some(Duration::ZERO);
        caution.put(suspected);
        let groups: Vec<_> = std::iter::from_fn(|| {
            let group = caution.take_due(now);
            (!group.is_empty()).then(|| group.iter().map(|batch| batch.trial.strikes).collect::<Vec<_>>())
        })
        .collect();
        assert_eq!(groups.iter().map(Vec::len).collect::<Vec<_>>(), [16, 4, 4, 1, 1, 1, 1]);
        assert_eq!(groups.iter().flatten().count(), 28);
    }

    #[test]
    fn connections_of_a_hasty_peer_stay_limited() {
        let (mut caution, now) = (Caution::default(), Instant::now());
        caution.allowance = Some(SEND_CAREFUL_BATCHES_MAX);
        assert!(caution.wants_trial(now) && !caution.is_hasty());
        caution.tried(false, now);
        assert!(!caution.wants_trial(now) && caution.is_hasty());
        assert!(caution.wants_trial(now + SEND_LIFETIME_RETRY), "it may have been a coincidence");
        caution.ended_well(SEND_CAREFUL_BATCHES_MAX, false, Some(0));
        assert_eq!(caution.allowance(), Some(SEND_CAREFUL_BATCHES_MAX));
        caution.outlived(0, false);
        assert!(!caution.is_hasty() && caution.allowance().is_none(), "a long connection has been of use");
    }

    #[test]
    fn a_peer_that_never_ends_a_connection_is_not_waited_for() {
        let mut caution = Caution::default();
        assert!(caution.expects_answers() && !caution.has_answered());
        assert!(caution.never_answers() && !caution.never_answers(), "it is said once");
        assert!(!caution.expects_answers());
        assert!(caution.answered(false) && caution.expects_answers() && caution.has_answered());
    }

    #[test]
    fn a_slow_peer_gets_more_time_up_to_a_bound() {
        let mut caution = Caution::default();
        let given = (0..6).map(|_| {
            caution.unanswered();
            caution.patience().as_secs()
        });
        assert_eq!(given.collect::<Vec<_>>(), [60, 120, 240, 480, 480, 480]);
        for (took, patience) in
            [(45, 240), (1, 120), (90, 180), (0, 90), (0, 45), (0, 30), (0, 30), (300, 480)]
        {
            caution.took(Duration::from_secs(took));
            assert_eq!(caution.patience().as_secs(), patience);
        }
    }

    #[test]
    fn a_peer_that_has_said_goodbye_is_expected_to_say_it_again() {
        let mut caution = Caution::default();
        assert!(caution.answered(false) && caution.answered(true));
        assert!(!caution.answered(false), "the end is not the peer's own");
        (1..SEND_CUTS_MAX - 1).for_each(|_| assert!(!caution.answered(false)));
        assert!(caution.answered(true) && !caution.takes_goodbye_test(), "one that says it comes in between");
        (0..SEND_CUTS_MAX).for_each(|_| assert!(!caution.answered(false)));
        assert!(caution.takes_goodbye_test() && !caution.takes_goodbye_test(), "one sender tests it");
        caution.forget_goodbye();
        assert!(caution.answered(false) && caution.answered(true) && !caution.answered(false));
    }

    #[test]
    fn one_frame_is_kept_to_test_the_peer_with() {
        let mut caution = Caution::default();
        assert!(caution.probe().is_none());
        let mut looked = 0;
        for _ in 0..=PROBE_LOOKS_MAX {
            caution.keep_probe(|| {
                looked += 1;
                None
            });
        }
        assert_eq!((looked, caution.probe()), (PROBE_LOOKS_MAX, None), "all frames are too long");
        caution.drop_probe();
        caution.keep_probe(|| Some(b"first".to_vec()));
        caution.keep_probe(|| Some(b"second".to_vec()));
        assert_eq!(caution.probe().as_deref(), Some(&b"first"[..]));
        caution.drop_probe();
        assert!(caution.probe().is_none());
    }

    #[test]
    fn a_peer_is_known_to_accept_us_once_it_has() {
        let mut caution = Caution::default();
        assert!(!caution.has_accepted() && !caution.has_confirmed() && !caution.has_suspects());
        caution.accepted();
        assert!(caution.has_accepted() && !caution.has_confirmed());
        let mut caution = Caution::default();
        caution.outlived(0, false);
        assert!(caution.has_accepted() && caution.has_confirmed());
    }

    #[test]
    fn a_connection_without_data_that_lives_is_no_hasty_peer_s() {
        let (mut caution, now) = (Caution::default(), Instant::now());
        caution.tried(true, now);
        assert!(!caution.is_hasty() && caution.allowance().is_none());
        caution.tried(false, now);
        assert!(caution.is_hasty() && caution.allowance() == Some(1));
    }

    #[test]
    fn only_what_was_written_after_an_end_is_a_witness_for_it() {
        let (mut caution, mut trial) = (Caution::default(), Trial::default());
        caution.ended(true, Instant::now());
        caution.strike(&mut trial);
        assert!(!caution.strike_alone(&mut trial, Instant::now()), "nothing was confirmed");
        let ends = caution.ends();
        caution.outlived(ends - 1, true);
        assert!(!caution.strike_alone(&mut trial, Instant::now()), "what was written before says nothing");
        let ends = caution.ends();
        caution.outlived(ends, true);
        assert!(caution.strike_alone(&mut trial, Instant::now()));
        assert!(!caution.strike_alone(&mut trial, Instant::now()), "once is not twice");
    }
}
