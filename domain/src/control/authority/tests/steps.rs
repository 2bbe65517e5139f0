//! Random steps of a signed log, valid ones and flawed ones, small enough to be shrunk.

use proptest::prelude::*;
use proptest::sample::select;

use super::model::{self, DAY, HOUR, Key, Name, Reason};

/// Persons with key, agency and roles.
pub const PERSONS: [(Name, Key, Name, &[model::Role]); 10] = [
    ("chu", 1, "A", &[model::Role::Owner]),
    ("bao", 2, "A", &[model::Role::Officer]),
    ("nhan", 3, "B", &[model::Role::Recipient]),
    ("ghi", 4, "A", &[model::Role::Registrar]),
    ("chu-b", 5, "B", &[model::Role::Owner]),
    ("bao-b", 6, "B", &[model::Role::Officer]),
    ("soan", 7, "A", &[model::Role::Auditor]),
    ("hai-vai", 8, "A", &[model::Role::Owner, model::Role::Officer]),
    ("luat", 9, "A", &[model::Role::Legal]),
    ("pho", 10, "A", &[model::Role::Auditor]),
];
pub const ROOT: Key = 100;
pub const SPARE: Key = 101;
pub const STRANGER: Key = 99;
/// What is wrong with how a record is signed or carried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flaw {
    None,
    Unsigned,
    LacksLast,
    Doubled,
    OldNonce,
    OtherBus,
    Changed,
    OtherKey(usize),
    Instead(usize),
    NoPerson,
    Also(usize),
    AlsoRoot,
    Nine,
    ExpiresAfter(i64),
    Dated(i64),
    /// Not appended now, but by a later [`Act::Carry`].
    Held,
}

#[derive(Debug, Clone, Copy)]
pub enum Draft {
    Contract { version: u8, owner: Name, personal: bool },
    Grant { id: u8, view: u8, shape: u8, emergency: bool, template: bool, duration: usize },
}

/// How a release differs from what was approved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slip {
    None,
    OtherDocument,
    OtherLabel,
    OtherSchemas,
    StartsEarly,
    StartsIn(i64),
    /// Milliseconds beyond what it may hold at most.
    Longer(i64),
    TakenNumber,
    TakenEdition,
}

#[derive(Debug, Clone, Copy)]
pub enum Change {
    Nothing,
    EndKey(usize, i64),
    NewKey(usize),
    DropKey(usize),
    ReopenKeys(usize),
    TwoOfOneKey(usize),
    Drop(usize),
    Twice(usize),
    EndRoles(usize),
    Deputy { until: Option<i64>, of: Name },
    FromTheStart,
    Number(u32),
}

#[derive(Debug, Clone, Copy)]
pub enum Act {
    Genesis,
    Agency {
        role_as_system: bool,
        by: usize,
    },
    Law {
        last_day: Option<i64>,
        by: usize,
    },
    Schema {
        text: u8,
    },
    Roster {
        change: Change,
        by_root: bool,
    },
    Root {
        key: Key,
        from: Key,
    },
    Spare {
        key: Key,
        with_before: bool,
    },
    Rotation {
        person: usize,
        to: Key,
        signed: u8,
    },
    Propose {
        draft: Draft,
        author: usize,
        days: i64,
        again: bool,
    },
    Vote {
        on: usize,
        person: usize,
        verdict: model::Verdict,
        reason: bool,
        other_document: bool,
        other_page: bool,
    },
    /// Those who decide approve, and the recipient takes up; of an emergency, one approves.
    Approve {
        on: usize,
        one: bool,
    },
    Release {
        of: usize,
        slip: Slip,
    },
    Renew {
        of: usize,
        view: usize,
        beyond: i64,
    },
    /// Proposed, approved and released in one go; renewed, if a view is named.
    Enact {
        draft: Draft,
        slip: Slip,
        renews: Option<(usize, i64)>,
    },
    End {
        view: usize,
        reason: Reason,
        by: usize,
    },
    Epoch {
        epoch: u32,
        provider: Name,
        by: [usize; 2],
    },
    Replay {
        of: usize,
        dated_now: bool,
    },
    Carry {
        dated_now: bool,
    },
}

#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub act: Act,
    pub flaw: Flaw,
    pub after_ms: i64,
}

pub fn step() -> impl Strategy<Value = Step> {
    let after_ms = prop_oneof![
        30 => Just(1_000),
        8 => select(vec![HOUR, 20 * HOUR, 72 * HOUR - 1_000, 72 * HOUR]),
        3 => select(vec![7 * DAY, 20 * DAY, 40 * DAY, 100 * DAY]),
    ];
    (act(), flaw(), after_ms).prop_map(|(act, flaw, after_ms)| Step { act, flaw, after_ms })
}

pub fn flaw() -> impl Strategy<Value = Flaw> {
    prop_oneof![
        60 => Just(Flaw::None),
        12 => select(vec![
            Flaw::Unsigned, Flaw::LacksLast, Flaw::Doubled, Flaw::OldNonce, Flaw::OtherBus, Flaw::Changed,
            Flaw::NoPerson, Flaw::AlsoRoot, Flaw::Nine,
        ]),
        2 => (0..PERSONS.len()).prop_map(Flaw::OtherKey),
        2 => (0..PERSONS.len()).prop_map(Flaw::Instead),
        3 => (0..PERSONS.len()).prop_map(Flaw::Also),
        4 => select(vec![-1, 0, 1, 90 * DAY, 90 * DAY + 1]).prop_map(Flaw::ExpiresAfter),
        3 => select(vec![-HOUR, -1, 0, 30 * DAY]).prop_map(Flaw::Dated),
        4 => Just(Flaw::Held),
    ]
}

pub fn draft() -> impl Strategy<Value = Draft> {
    let grant = (1..4_u8, 0..2_u8, 0..2_u8, prop::bool::weighted(0.35), prop::bool::weighted(0.7), 0..4_usize)
        .prop_map(|(id, view, shape, emergency, template, duration)| Draft::Grant {
            id,
            view,
            shape,
            emergency,
            template,
            duration: if emergency { 0 } else { duration },
        });
    let contract = (1..4_u8, select(vec!["A", "A", "B"]), prop::bool::ANY)
        .prop_map(|(version, owner, personal)| Draft::Contract { version, owner, personal });
    prop_oneof![4 => grant, 1 => contract]
}

pub fn slip() -> impl Strategy<Value = Slip> {
    prop_oneof![
        6 => Just(Slip::None),
        4 => select(vec![
            Slip::OtherDocument, Slip::OtherLabel, Slip::OtherSchemas, Slip::StartsEarly, Slip::TakenNumber,
            Slip::TakenEdition, Slip::Longer(0), Slip::Longer(1), Slip::StartsIn(DAY), Slip::StartsIn(100 * DAY),
        ]),
    ]
}

pub fn change() -> impl Strategy<Value = Change> {
    let person = 0..PERSONS.len();
    prop_oneof![
        select(vec![Change::Nothing, Change::FromTheStart, Change::Number(0), Change::Number(2)]),
        (person.clone(), select(vec![-40 * DAY, -HOUR, 0, DAY])).prop_map(|(p, ms)| Change::EndKey(p, ms)),
        (person, 0..7_u8).prop_map(|(p, what)| match what {
            0 => Change::NewKey(p),
            1 => Change::DropKey(p),
            2 => Change::ReopenKeys(p),
            3 => Change::TwoOfOneKey(p),
            4 => Change::Drop(p),
            5 => Change::Twice(p),
            _ => Change::EndRoles(p),
        }),
        (select(vec![None, Some(DAY), Some(60 * DAY)]), select(vec!["chu", "hai-vai", "soan", "pho", "ai"]))
            .prop_map(|(until, of)| Change::Deputy { until, of }),
    ]
}

pub fn act() -> impl Strategy<Value = Act> {
    let person = || 0..PERSONS.len();
    let verdict = select(vec![
        model::Verdict::Approve,
        model::Verdict::Approve,
        model::Verdict::Refuse,
        model::Verdict::TakeUp,
        model::Verdict::Advise,
    ]);
    let reason = select(vec![
        Reason::Revoked,
        Reason::Suspended,
        Reason::Ended,
        Reason::Superseded,
        Reason::Expired,
        Reason::Law,
    ]);
    let last_day = select(vec![None, Some(-10), Some(10), Some(400)]);
    let often = prop::bool::weighted;
    let vote = (0..6_usize, person(), verdict, often(0.7), often(0.05), often(0.05)).prop_map(
        |(on, person, verdict, reason, other_document, other_page)| Act::Vote {
            on,
            person,
            verdict,
            reason,
            other_document,
            other_page,
        },
    );
    let propose = (draft(), person(), select(vec![14, 14, 14, 90, 91, 0]), often(0.05))
        .prop_map(|(draft, author, days, again)| Act::Propose { draft, author, days, again });
    let rare = prop_oneof![
        Just(Act::Genesis),
        (often(0.2), prop_oneof![3 => Just(3_usize), 1 => person()])
            .prop_map(|(role_as_system, by)| Act::Agency { role_as_system, by }),
        (last_day, prop_oneof![3 => Just(8_usize), 1 => person()]).prop_map(|(last_day, by)| Act::Law { last_day, by }),
        (0..2_u8).prop_map(|text| Act::Schema { text }),
        (102..106_u8, select(vec![ROOT, ROOT, SPARE, SPARE, STRANGER])).prop_map(|(key, from)| Act::Root { key, from }),
        (select(vec![SPARE, SPARE, ROOT, 106]), often(0.6))
            .prop_map(|(key, with_before)| Act::Spare { key, with_before }),
        (person(), 20..40_u8, select(vec![3, 3, 3, 1, 2])).prop_map(|(person, to, signed)| Act::Rotation {
            person,
            to,
            signed
        }),
        (0..3_u32, select(vec!["A", "B"]), person(), person()).prop_map(|(epoch, provider, a, b)| Act::Epoch {
            epoch,
            provider,
            by: [a, b]
        }),
        (0..2_u32, Just("A"), 0..2_usize, 0..2_usize).prop_map(|(epoch, provider, a, b)| Act::Epoch {
            epoch: epoch + 1,
            provider,
            by: [a, b]
        }),
    ];
    prop_oneof![
        6 => propose,
        6 => vote,
        7 => (draft(), slip(), prop::option::weighted(0.4, (0..3_usize, select(vec![-DAY, 0, 1]))))
            .prop_map(|(draft, slip, renews)| Act::Enact { draft, slip, renews }),
        7 => (0..6_usize, often(0.3)).prop_map(|(on, one)| Act::Approve { on, one }),
        8 => (0..6_usize, slip()).prop_map(|(of, slip)| Act::Release { of, slip }),
        3 => (0..6_usize, 0..3_usize, select(vec![-DAY, 0, 1])).prop_map(|(of, view, beyond)| Act::Renew { of, view, beyond }),
        3 => (0..3_usize, reason, person()).prop_map(|(view, reason, by)| Act::End { view, reason, by }),
        3 => (change(), often(0.9)).prop_map(|(change, by_root)| Act::Roster { change, by_root }),
        2 => (0..64_usize, often(0.6)).prop_map(|(of, dated_now)| Act::Replay { of, dated_now }),
        2 => often(0.7).prop_map(|dated_now| Act::Carry { dated_now }),
        6 => rare,
    ]
}
