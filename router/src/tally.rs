//! Tallies: how many changes of a submission had which outcome, since its last receipt.
//!
//! A receipt is written after every [`RECEIPT_EVERY`] changes of a submission in one input partition and at its end, and
//! covers what came since the one before. What was counted and not yet answered rides in the metadata of the commit, so
//! a crash counts nothing twice and loses nothing. That text is small: where the tallies outgrow it, or one input
//! partition counts more than [`MAX_OPEN_SUBMISSIONS`] side by side, the one that was touched the longest ago is answered
//! early. Receipts add up, so that the provider's sums are the same.

use kenh_domain::limits::{MAX_OPEN_SUBMISSIONS, RECEIPT_EVERY};
use kenh_domain::log::Position;
use kenh_domain::names::{Agency, Dataset};
use kenh_domain::receipt::{self, Counts, Outcome, Receipt, Warnings};
use kenh_domain::rule::Rule;
use kenh_domain::topic::Partition;

/// One input partition: `in.<dataset>.<provider>` and its number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InputId {
    /// The dataset.
    pub dataset: Dataset,
    /// Who writes there.
    pub provider: Agency,
    /// The partition.
    pub partition: Partition,
}

/// What was counted of one submission in one input partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// Where.
    pub input: InputId,
    /// The submission.
    pub submission: String,
    /// Outcomes since its last receipt; never more than [`RECEIPT_EVERY`] in all.
    pub counts: Counts,
    /// Relaxed rules that the admitted of them broke.
    pub warnings: Warnings,
    /// Position of the last change counted.
    pub up_to: Position,
}

/// A receipt and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who submitted.
    pub provider: Agency,
    /// What it is told.
    pub receipt: Receipt,
}

/// Everything counted and not yet answered, the longest untouched first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tallies {
    open: Vec<Tally>,
    budget: usize,
}

/// Bytes that one tally takes in the metadata at the most, names and submission aside: eight numbers and commas.
const TALLY_BYTES: usize = 64;
/// Bytes that one relaxed rule of a tally takes at the most: the rule's code, and two numbers.
const WARNING_BYTES: usize = 32;

impl Tallies {
    /// None yet, for a metadata text that has room for `budget` bytes of them.
    #[must_use]
    pub const fn new(open: Vec<Tally>, budget: usize) -> Self {
        Self { open, budget }
    }

    /// What is open, the longest untouched first.
    #[must_use]
    pub fn open(&self) -> &[Tally] {
        &self.open
    }

    /// Counts one change, with the relaxed rules that it broke. Pushes the receipts that this makes due.
    pub fn count(
        &mut self,
        input: &InputId,
        submission: &str,
        (outcome, warnings): (Outcome, &[Rule]),
        position: Position,
        due: &mut Vec<Answer>,
    ) {
        let at = self.touch(input, submission, due);
        let tally = &mut self.open[at];
        tally.counts.add(outcome);
        tally.warnings.add(warnings);
        tally.up_to = position;
        if tally.counts.total() >= RECEIPT_EVERY {
            due.push(answer(self.open.remove(at), false));
        } else if !warnings.is_empty() {
            self.fit(due);
        }
    }

    /// Answers a submission whose end has come; `position` is that of its end.
    pub fn end(&mut self, input: &InputId, submission: &str, position: Position, due: &mut Vec<Answer>) {
        let tally = match self.find(input, submission) {
            Some(at) => self.open.remove(at),
            // Everything was answered before; the end is always answered.
            None => Tally {
                input: input.clone(),
                submission: submission.to_owned(),
                counts: Counts::default(),
                warnings: Warnings::default(),
                up_to: position,
            },
        };
        due.push(answer(tally, true));
    }

    /// Gives the metadata text another size; what no longer fits is answered early.
    pub fn set_budget(&mut self, budget: usize, due: &mut Vec<Answer>) {
        self.budget = budget;
        self.fit(due);
    }

    fn find(&self, input: &InputId, submission: &str) -> Option<usize> {
        // From the end: it is most often the one touched last.
        self.open.iter().rposition(|t| t.submission == submission && &t.input == input)
    }

    /// The tally's place, which is the last.
    fn touch(&mut self, input: &InputId, submission: &str, due: &mut Vec<Answer>) -> usize {
        let last = self.open.len().wrapping_sub(1);
        match self.find(input, submission) {
            Some(at) if at == last => return last,
            Some(at) => {
                let tally = self.open.remove(at);
                self.open.push(tally);
            }
            None => {
                if self.open.iter().filter(|t| &t.input == input).count() >= MAX_OPEN_SUBMISSIONS
                    && let Some(oldest) = self.open.iter().position(|t| &t.input == input)
                {
                    due.push(answer(self.open.remove(oldest), false));
                }
                self.open.push(Tally {
                    input: input.clone(),
                    submission: submission.to_owned(),
                    counts: Counts::default(),
                    warnings: Warnings::default(),
                    up_to: Position::default(),
                });
                self.fit(due);
            }
        }
        self.open.len() - 1
    }

    /// Answers the oldest until the rest fits; the one touched last always stays.
    fn fit(&mut self, due: &mut Vec<Answer>) {
        while self.open.len() > 1 && self.bytes() > self.budget {
            due.push(answer(self.open.remove(0), false));
        }
    }

    /// An upper bound of the bytes that the tallies take in the metadata.
    fn bytes(&self) -> usize {
        self.open.iter().enumerate().map(|(i, t)| self.bytes_of(i, t)).sum()
    }

    /// Names and submissions stand in the text once, however many tallies speak of them.
    fn bytes_of(&self, i: usize, tally: &Tally) -> usize {
        let before = &self.open[..i];
        let mut bytes = TALLY_BYTES + WARNING_BYTES * tally.warnings.0.len();
        let place = |t: &Tally| (t.input.dataset.clone(), t.input.provider.clone());
        if !before.iter().any(|t| place(t) == place(tally)) {
            bytes += tally.input.dataset.as_str().len() + tally.input.provider.as_str().len() + 4;
        }
        if !before.iter().any(|t| t.submission == tally.submission) {
            // A control character takes six bytes in JSON.
            bytes += tally.submission.bytes().map(|b| if b < 0x20 { 6 } else { 2 }).sum::<usize>() + 3;
        }
        bytes
    }
}

fn answer(tally: Tally, end: bool) -> Answer {
    let Tally { input, submission, counts, warnings, up_to } = tally;
    Answer {
        provider: input.provider,
        receipt: Receipt {
            format: receipt::FORMAT,
            submission,
            dataset: input.dataset,
            partition: input.partition,
            counts,
            warnings,
            up_to,
            end,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    use proptest::prelude::*;

    fn input(partition: u32) -> InputId {
        InputId {
            dataset: Dataset::new("dan-cu").unwrap(),
            provider: Agency::new("G01").unwrap(),
            partition: Partition(partition),
        }
    }

    #[test]
    fn a_receipt_comes_every_thousand_changes_and_at_the_end() {
        let (mut tallies, mut due) = (Tallies::new(vec![], 1000), vec![]);
        for n in 0..RECEIPT_EVERY + 1 {
            tallies.count(&input(0), "s", (Outcome::Admitted, &[]), Position(n), &mut due);
        }
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].receipt.counts.admitted, due[0].receipt.end), (RECEIPT_EVERY, false));
        tallies.end(&input(0), "s", Position(2000), &mut due);
        assert_eq!((due[1].receipt.counts.admitted, due[1].receipt.end), (1, true));
        tallies.end(&input(0), "s", Position(2001), &mut due);
        assert_eq!((due[2].receipt.counts.total(), due[2].receipt.up_to), (0, Position(2001)));
    }

    #[test]
    fn one_submission_too_many_answers_the_one_untouched_the_longest() {
        let (mut tallies, mut due) = (Tallies::new(vec![], 1 << 20), vec![]);
        for n in 0..MAX_OPEN_SUBMISSIONS {
            tallies.count(&input(0), &format!("s{n}"), (Outcome::Stale, &[]), Position(1), &mut due);
        }
        tallies.count(&input(0), "s0", (Outcome::Stale, &[]), Position(2), &mut due);
        tallies.count(&input(1), "other partition", (Outcome::Stale, &[]), Position(2), &mut due);
        assert!(due.is_empty());
        tallies.count(&input(0), "new", (Outcome::Stale, &[]), Position(3), &mut due);
        assert_eq!(due.len(), 1);
        assert_eq!(due[0].receipt.submission, "s1");
    }

    proptest! {
        #[test]
        fn receipts_add_up_whatever_the_budget(
            changes in prop::collection::vec((0u32..3, 0u8..6, 0u8..4, 0usize..12), 0..400), budget in 0usize..2000,
        ) {
            let (mut tallies, mut due) = (Tallies::new(vec![], budget), vec![]);
            let relaxable: Vec<_> = Rule::ALL.iter().copied().filter(|rule| rule.protects().is_none()).collect();
            let mut oracle: HashMap<(u32, String), (Counts, Warnings)> = HashMap::new();
            for (i, (partition, submission, outcome, rule)) in changes.into_iter().enumerate() {
                let outcome = [Outcome::Admitted, Outcome::Repeated, Outcome::Stale, Outcome::Rejected][outcome as usize];
                let submission = format!("s{submission}");
                let warned: Vec<_> = relaxable.get(rule).copied().into_iter().collect();
                tallies.count(&input(partition), &submission, (outcome, &warned), Position(i as u64), &mut due);
                let (counts, warnings) = oracle.entry((partition, submission)).or_default();
                counts.add(outcome);
                warnings.add(&warned);
                prop_assert!(tallies.bytes() <= budget || tallies.open().len() == 1);
            }
            for (partition, submission) in oracle.keys() {
                tallies.end(&input(*partition), submission, Position(999), &mut due);
            }
            let mut sums: HashMap<(u32, String), (Counts, Warnings)> = HashMap::new();
            for Answer { receipt, .. } in due {
                let (counts, warnings) = sums.entry((receipt.partition.0, receipt.submission)).or_default();
                counts.merge(&receipt.counts);
                warnings.merge(&receipt.warnings);
            }
            prop_assert_eq!(sums, oracle);
        }
    }
}
