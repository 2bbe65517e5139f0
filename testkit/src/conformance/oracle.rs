//! Any interleaving of claims, commits, writes and reads, against a plain oracle.
//!
//! The oracle knows nothing of positions: a partition is a list of texts, a group is a number of its newest claim, the
//! latest metadata and how many records of each input it consumed.

use std::collections::BTreeMap;

use kenh_domain::log::{Batch, Claim, CommitError, Position, Reader};
use kenh_domain::topic::Topic;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::{Subject, at, record, text};

/// Topics and partitions of the model; partition `n` is partition `n % 2` of topic `n / 2`.
const PARTITIONS: usize = 4;
const GROUPS: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    /// Claim a group anew.
    Claim { group: usize },
    /// Commit through one of the claims made so far, fenced ones too.
    Commit { claim: usize, to: Vec<usize>, consume: Option<usize>, refused: bool },
    /// Write without a claim, and flush.
    Write { to: Vec<usize> },
    /// Poll one of the two readers; the second one polls a record at a time.
    Read { small: bool },
    /// Open the first reader anew at its positions.
    Reopen,
    /// Look at the end of a partition, and at what a new claim would start from.
    Look { partition: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let to = || prop::collection::vec(0..PARTITIONS, 0..5);
    prop_oneof![
        2 => (0..GROUPS).prop_map(|group| Step::Claim { group }),
        6 => (0..8_usize, to(), prop::option::of(0..PARTITIONS), prop::bool::weighted(0.1))
            .prop_map(|(claim, to, consume, refused)| Step::Commit { claim, to, consume, refused }),
        3 => to().prop_map(|to| Step::Write { to }),
        4 => any::<bool>().prop_map(|small| Step::Read { small }),
        1 => Just(Step::Reopen),
        2 => (0..PARTITIONS).prop_map(|partition| Step::Look { partition }),
    ]
}

#[derive(Default)]
struct Oracle {
    written: [Vec<String>; PARTITIONS],
    newest: [usize; GROUPS],
    metadata: [String; GROUPS],
    consumed: [BTreeMap<usize, Position>; GROUPS],
}

struct Run<'a> {
    subject: &'a Subject,
    topics: [Topic; 2],
    oracle: Oracle,
    /// Each with its group and its number within the group.
    claims: Vec<(usize, usize, Box<dyn Claim>)>,
    readers: Vec<(Box<dyn Reader>, [usize; PARTITIONS])>,
    next: u64,
    groups: [String; GROUPS],
}

impl Run<'_> {
    fn place(&self, partition: usize) -> (&Topic, u32) {
        (&self.topics[partition / 2], (partition % 2) as u32)
    }

    fn records(&mut self, to: &[usize]) -> (Vec<kenh_domain::log::NewRecord>, Vec<(usize, String)>) {
        let mut records = Vec::new();
        let mut texts = Vec::new();
        for partition in to {
            let value = self.next.to_string();
            self.next += 1;
            let (topic, number) = self.place(*partition);
            records.push(record(topic, number, "k", &value));
            texts.push((*partition, value));
        }
        (records, texts)
    }

    fn end(&self, partition: usize) -> Position {
        let (topic, number) = self.place(partition);
        self.subject.bounds(topic, number).end
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Claim { group } => self.claim(group)?,
            Step::Commit { claim, to, consume, refused } => self.commit(claim, &to, consume, refused)?,
            Step::Write { to } => {
                let (records, texts) = self.records(&to);
                self.subject.write(records);
                texts.into_iter().for_each(|(partition, text)| self.oracle.written[partition].push(text));
            }
            Step::Read { small } => self.read(usize::from(small))?,
            Step::Reopen => {
                let positions = self.readers[0].0.positions();
                self.readers[0].0 = self.open(&positions);
            }
            Step::Look { partition } => {
                let (topic, number) = self.place(partition);
                prop_assert_eq!(&self.subject.values(topic, number), &self.oracle.written[partition]);
            }
        }
        Ok(())
    }

    fn claim(&mut self, group: usize) -> Result<(), TestCaseError> {
        let claim = self.subject.claim(&self.groups[group]);
        prop_assert_eq!(&claim.committed().metadata, &self.oracle.metadata[group]);
        let expected: BTreeMap<_, _> = self.oracle.consumed[group]
            .iter()
            .map(|(partition, position)| {
                let (topic, number) = self.place(*partition);
                (at(topic, number), *position)
            })
            .collect();
        prop_assert_eq!(&claim.committed().consumed, &expected);
        self.oracle.newest[group] += 1;
        self.claims.push((group, self.oracle.newest[group], claim));
        Ok(())
    }

    fn commit(
        &mut self,
        claim: usize,
        to: &[usize],
        consume: Option<usize>,
        refused: bool,
    ) -> Result<(), TestCaseError> {
        if self.claims.is_empty() {
            return Ok(());
        }
        // The newest ones most often.
        let index = self.claims.len() - 1 - claim % self.claims.len();
        let (mut records, texts) = self.records(to);
        if refused {
            records.push(record(&self.topics[0], 9, "k", "never"));
        }
        let consumed = consume.map(|partition| (partition, self.end(partition)));
        let named = consumed.map(|(partition, position)| {
            let (topic, number) = self.place(partition);
            (at(topic, number), position)
        });
        let metadata = format!("m{}", self.next);
        let batch = Batch { records, consumed: named.into_iter().collect(), metadata: metadata.clone() };
        let (group, number, claim) = &mut self.claims[index];
        let answer = claim.commit(batch);
        if *number < self.oracle.newest[*group] {
            // A log may look at the batch or at the fence first; neither writes.
            let failed = matches!(answer, Err(CommitError::Fenced(_)))
                || (refused && matches!(answer, Err(CommitError::Refused { .. })));
            prop_assert!(failed, "a fenced claim committed: {answer:?}");
        } else if refused {
            prop_assert!(matches!(answer, Err(CommitError::Refused { .. })), "{answer:?}");
        } else {
            prop_assert!(answer.is_ok(), "{answer:?}");
            self.oracle.metadata[*group] = metadata;
            self.oracle.consumed[*group].extend(consumed);
            texts.into_iter().for_each(|(partition, text)| self.oracle.written[partition].push(text));
        }
        Ok(())
    }

    fn read(&mut self, which: usize) -> Result<(), TestCaseError> {
        let (reader, given) = &mut self.readers[which];
        let most = if which == 0 { 1000 } else { 1 };
        let before = reader.positions();
        let found = reader.poll(most, 1 << 20, std::time::Duration::ZERO).unwrap();
        prop_assert!(found.len() <= most);
        for record in &found {
            let expected = self.oracle.written[record.source].get(given[record.source]);
            prop_assert_eq!(Some(&text(record)), expected);
            prop_assert!(record.position >= before[record.source]);
            given[record.source] += 1;
        }
        let after = reader.positions();
        prop_assert!(before.iter().zip(&after).all(|(b, a)| b <= a));
        Ok(())
    }

    fn open(&self, positions: &[Position]) -> Box<dyn Reader> {
        let from: Vec<_> = (0..PARTITIONS)
            .map(|partition| {
                let (topic, number) = self.place(partition);
                (at(topic, number), positions[partition])
            })
            .collect();
        self.subject.log.reader(&kenh_domain::names::Principal::router(), &from).unwrap()
    }
}

/// Whatever is done in whatever order: every partition holds what the successful calls wrote, in their order; every
/// reader gives a prefix of it; every claim starts from what was committed.
pub fn any_interleaving_reads_like_the_oracle(subject: &Subject) {
    let mut runner = TestRunner::new(Config { cases: subject.cases, failure_persistence: None, ..Config::default() });
    let case = std::cell::Cell::new(0);
    let steps = prop::collection::vec(step(), 1..60);
    let result = runner.run(&steps, |steps| {
        // Names of its own for each case: they share the log.
        let number = case.replace(case.get() + 1);
        let topics = [subject.make(&format!("p{number}"), 2), subject.make(&format!("q{number}"), 2)];
        let groups = [format!("g{number}"), format!("h{number}")];
        let oracle = Oracle::default();
        let mut run = Run { subject, topics, oracle, claims: vec![], readers: vec![], next: 0, groups };
        let starts: Vec<_> = (0..PARTITIONS)
            .map(|partition| {
                let (topic, number) = run.place(partition);
                subject.bounds(topic, number).start
            })
            .collect();
        for _ in 0..2 {
            let reader = run.open(&starts);
            run.readers.push((reader, [0; PARTITIONS]));
        }
        for step in steps {
            run.step(step)?;
        }
        for partition in 0..PARTITIONS {
            run.step(Step::Look { partition })?;
        }
        (0..GROUPS).try_for_each(|group| run.claim(group))
    });
    if let Err(failure) = result {
        panic!("{failure}\n{runner}");
    }
}
