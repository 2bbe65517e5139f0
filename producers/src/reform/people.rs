//! A synthetic population as changes of dataset `dan-cu`, record key `SoDinhDanh`: made up on the real units, valid by
//! the rules of the identifiers, and nobody real.
//!
//! Everyone is NEW, version 1, at an old commune that has a successor. On reform day everyone is UPDATE, version 2: each
//! place moves to a successor of its commune, chosen uniformly over the rows of the succession (both places alike where
//! they are the same house). Later every hundredth person moves elsewhere, half of them anywhere in the country: UPDATE,
//! version 3; six of ten move their registration as well.
//!
//! A person is a function of the seed and their index, so that a population of any size takes no memory and its oracle,
//! [`People::residents`], need not read the changes.

use std::collections::BTreeMap;

use kenh_domain::envelope::Event;

use super::data::{Reform, Unit};
use super::draw::{Draw, Purpose, Seeded};
use super::{BEFORE_DAY, BEFORE_MS, Change, MOVES_MS, REFORM_DAY, REFORM_MS, Step, names};

pub use super::person::{Facts, Person, Place};

/// Most people: as many as Việt Nam has. Beyond a million the search for a free personal ID grows with every million.
pub const MAX_PEOPLE: u64 = 100_000_000;

/// Numbers that one (province, century and sex, year) of a personal ID has room for: its last six digits.
const NUMBERS: u64 = 1_000_000;
/// Odd and no multiple of 5, so that multiplying by it permutes the [`NUMBERS`]: neighbours do not get neighbouring IDs.
const NUMBER_STEP: u64 = 618_033;
/// One of so many people moves after the reform.
const MOVERS: u64 = 100;
/// The last year in which anyone here is born: all are there when the snapshot of the old units is taken.
const LAST_BIRTH_YEAR: usize = 2024;

/// More people than [`MAX_PEOPLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} people are more than the {MAX_PEOPLE} that can be made up")]
pub struct TooMany(pub u64);

/// A population.
#[derive(Debug, Clone)]
pub struct People<'a> {
    reform: &'a Reform,
    old_provinces: Vec<&'a str>,
    seeded: Seeded,
    count: u64,
    /// Where the numbers of the personal IDs begin.
    first_number: u64,
    /// Index modulo [`MOVERS`] of who moves.
    mover: u64,
}

/// One person's way through the reform.
pub struct Life<'a> {
    facts: Facts,
    before: Places<'a>,
    after: Places<'a>,
    moved: Option<Places<'a>>,
}

/// The two places of a person at one time.
struct Places<'a> {
    lives: Address<'a>,
    registered: Address<'a>,
}

#[derive(Clone, PartialEq)]
struct Address<'a> {
    commune: &'a Unit,
    since: i32,
    detail: String,
}

/// How the people of a province came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Residents {
    /// People who live there in the end.
    pub now: u64,
    /// How often somebody came to live there: from the start, by the reform, by moving.
    pub entered: u64,
    /// How often somebody who lived there did no longer.
    pub left: u64,
}

/// What a personal ID is made of, but for its number.
#[derive(Clone, Copy, PartialEq)]
struct Identity<'a> {
    /// Position in [`Reform::homes`] of the registered residence.
    registered: usize,
    birth_province: &'a str,
    male: bool,
    birth_year: usize,
}

impl<'a> Identity<'a> {
    /// The first six digits.
    fn prefix(&self) -> (&'a str, usize, usize) {
        let century = self.birth_year / 100 - 19;
        (self.birth_province, 2 * century + usize::from(!self.male), self.birth_year % 100)
    }
}

impl Reform {
    /// `count` people made up from `seed`.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn people(&self, seed: u64, count: u64) -> Result<People<'_>, TooMany> {
        if count > MAX_PEOPLE {
            return Err(TooMany(count));
        }
        let seeded = Seeded::new(seed);
        let mut common = seeded.stream(0, Purpose::Common);
        let mut below = |bound: usize| common.below(bound) as u64;
        let (first_number, mover) = (below(1_000_000), below(100));
        let provinces = self.before.iter().filter(|unit| unit.level == 1);
        let old_provinces = provinces.map(|unit| unit.code.as_str()).collect();
        Ok(People { reform: self, old_provinces, seeded, count, first_number, mover })
    }
}

impl<'a> People<'a> {
    /// How many changes [`Self::changes`] gives.
    #[must_use]
    pub fn changes_len(&self) -> u64 {
        2 * self.count + self.count.saturating_sub(self.mover).div_ceil(MOVERS)
    }

    /// All changes, in order: [`Self::before`], [`Self::reform`], [`Self::moves`].
    pub fn changes(&self) -> impl Iterator<Item = Change> {
        self.before().chain(self.reform()).chain(self.moves())
    }

    /// Everyone as they were before the reform.
    pub fn before(&self) -> impl Iterator<Item = Change> {
        (0..self.count).map(|index| self.life(index).before().change())
    }

    /// Everyone in the new units.
    pub fn reform(&self) -> impl Iterator<Item = Change> {
        (0..self.count).map(|index| self.life(index).reform().change())
    }

    /// Those who moved elsewhere afterwards.
    pub fn moves(&self) -> impl Iterator<Item = Change> {
        self.movers().filter_map(|index| Some(self.life(index).moved()?.change()))
    }

    fn movers(&self) -> impl Iterator<Item = u64> {
        #[expect(clippy::cast_possible_truncation, reason = "100")]
        let every = MOVERS as usize;
        (self.mover..self.count).step_by(every)
    }

    /// By province, how many live there in the end, and how many came and left on the way: what a view of the people of
    /// one province has to show. Does not read the changes. Provinces where nobody ever lived are not in it.
    #[must_use]
    pub fn residents(&self) -> BTreeMap<String, Residents> {
        let mut provinces: BTreeMap<&str, Residents> = BTreeMap::new();
        for index in 0..self.count {
            let life = self.life(index);
            let mut here: Option<&str> = None;
            for places in [Some(&life.before), Some(&life.after), life.moved.as_ref()].into_iter().flatten() {
                let next = places.lives.commune.province.as_str();
                if here != Some(next) {
                    if let Some(left) = here {
                        provinces.entry(left).or_default().left += 1;
                    }
                    provinces.entry(next).or_default().entered += 1;
                    here = Some(next);
                }
            }
            if let Some(here) = here {
                provinces.entry(here).or_default().now += 1;
            }
        }
        provinces.into_iter().map(|(code, residents)| (code.to_owned(), residents)).collect()
    }

    /// The person of that index, whether or not it lies below the population's size.
    #[must_use]
    pub fn life(&self, index: u64) -> Life<'a> {
        let identity = self.identity(index);
        let mut draw = self.seeded.stream(index, Purpose::Facts);
        let facts = self.facts(index, &identity, &mut draw);
        let registered = identity.registered;
        let lives = if draw.permille(850) { registered } else { draw.below(self.reform.homes.len()) };
        let before = self.places_before(registered, lives, &mut draw);
        let after = self.places_after(registered, lives, &before, &mut self.seeded.stream(index, Purpose::Reform));
        let moved = (index % MOVERS == self.mover)
            .then(|| self.places_moved(&after, &mut self.seeded.stream(index, Purpose::Move)));
        Life { facts, before, after, moved }
    }

    /// Numbers repeat every million people. Those who share one must differ in the rest of the ID: whoever comes later
    /// draws again until they do. There are over 12,000 such rests, and at most a hundred people to a number.
    fn identity(&self, index: u64) -> Identity<'a> {
        let number = index % NUMBERS;
        let mut taken = Vec::new();
        let mut first = number;
        loop {
            let mut draw = self.seeded.stream(first, Purpose::Identity);
            let identity = loop {
                let identity = self.draw_identity(&mut draw);
                if !taken.contains(&identity.prefix()) {
                    break identity;
                }
            };
            if first >= index {
                return identity;
            }
            taken.push(identity.prefix());
            first += NUMBERS;
        }
    }

    fn draw_identity(&self, draw: &mut Draw) -> Identity<'a> {
        let registered = draw.below(self.reform.homes.len());
        let home = &self.reform.before[self.reform.homes[registered].old];
        let birth_province = if draw.permille(850) { &home.province } else { *draw.pick(&self.old_provinces) };
        let male = draw.permille(498);
        Identity { registered, birth_province, male, birth_year: LAST_BIRTH_YEAR - names::age(draw) }
    }

    fn facts(&self, index: u64, identity: &Identity<'_>, draw: &mut Draw) -> Facts {
        let (province, mark, year) = identity.prefix();
        let number = (index % NUMBERS * NUMBER_STEP + self.first_number) % NUMBERS;
        let age = LAST_BIRTH_YEAR - identity.birth_year;
        let (group, name) = names::group_and_name(identity.male, draw);
        let (birth_month, birth_day) = birth_month_and_day(identity.birth_year, age, draw);
        Facts {
            id: format!("0{province}{mark}{year:02}{number:06}"),
            name,
            birth_year: int(identity.birth_year),
            birth_month,
            birth_day,
            sex: if identity.male { 1 } else { 2 },
            group,
            phone: (age >= 12 && draw.permille(820)).then(|| names::phone(draw)),
            marital_status: names::marital_status(identity.male, age, draw),
            blood_group: draw.permille(350).then(|| names::blood_group(draw)),
            // The old cards were given from the age of 14, until 2020.
            old_id_card: (age >= 18 && draw.permille(550)).then(|| draw.digits(9)),
        }
    }

    fn places_before(&self, registered: usize, lives: usize, draw: &mut Draw) -> Places<'a> {
        let mut home = |at: usize| {
            let commune = &self.reform.before[self.reform.homes[at].old];
            Address { commune, since: BEFORE_DAY, detail: names::address(commune.urban(), draw) }
        };
        let at_home = home(registered);
        let lives = if lives == registered { at_home.clone() } else { home(lives) };
        Places { lives, registered: at_home }
    }

    fn places_after(&self, registered: usize, lives: usize, before: &Places<'a>, draw: &mut Draw) -> Places<'a> {
        let mut successor = |at: usize, detail: &str| {
            let commune = &self.reform.after[*draw.pick(&self.reform.homes[at].successors)];
            Address { commune, since: REFORM_DAY, detail: detail.to_owned() }
        };
        let at_home = successor(registered, &before.registered.detail);
        let lives = if lives == registered { at_home.clone() } else { successor(lives, &before.lives.detail) };
        Places { lives, registered: at_home }
    }

    fn places_moved(&self, after: &Places<'a>, draw: &mut Draw) -> Places<'a> {
        let from = after.lives.commune;
        let province = self.reform.communes.get(&from.province).filter(|_| draw.permille(500));
        let commune = match province {
            Some(near) => self.other(near.iter().copied(), near.len(), from, draw),
            None => {
                let all = self.reform.communes.values().flatten().copied();
                self.other(all, self.reform.communes.values().map(Vec::len).sum(), from, draw)
            }
        };
        let lives = Address { commune, since: REFORM_DAY, detail: names::address(commune.urban(), draw) };
        let registered = if draw.permille(600) { lives.clone() } else { after.registered.clone() };
        Places { lives, registered }
    }

    /// One of `count` new communes that is not `from`, which is one of them; there are two at least.
    fn other(&self, communes: impl Iterator<Item = usize>, count: usize, from: &'a Unit, draw: &mut Draw) -> &'a Unit {
        let mut others = communes.map(|at| &self.reform.after[at]).filter(|unit| unit.code != from.code);
        others.nth(draw.below(count - 1)).unwrap_or(from)
    }
}

impl Life<'_> {
    /// The change that makes them known.
    #[must_use]
    pub fn before(&self) -> Step<Person<'_>> {
        self.step(Event::New, 1, BEFORE_MS, &self.before)
    }

    /// The change of reform day.
    #[must_use]
    pub fn reform(&self) -> Step<Person<'_>> {
        self.step(Event::Update, 2, REFORM_MS, &self.after)
    }

    /// The move afterwards, of those who moved.
    #[must_use]
    pub fn moved(&self) -> Option<Step<Person<'_>>> {
        self.moved.as_ref().map(|places| self.step(Event::Update, 3, MOVES_MS, places))
    }

    fn step<'s>(&'s self, event: Event, version: i64, updated_ms: i64, places: &'s Places<'_>) -> Step<Person<'s>> {
        let record = Person { facts: &self.facts, lives: places.lives.place(), registered: places.registered.place() };
        Step { event, version, updated_ms, record }
    }
}

impl Address<'_> {
    fn place(&self) -> Place<'_> {
        Place { commune: self.commune, since: self.since, detail: &self.detail }
    }
}

/// Month and day, where they are known: of the old often the year alone.
fn birth_month_and_day(year: usize, age: usize, draw: &mut Draw) -> (Option<i32>, Option<i32>) {
    let month = draw.within(1, 12);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    };
    let day = draw.within(1, days);
    let (year_only, no_day) = if age >= 60 { (150, 60) } else { (8, 8) };
    let known = draw.below(1_000);
    if known < year_only {
        (None, None)
    } else if known < year_only + no_day {
        (Some(int(month)), None)
    } else {
        (Some(int(month)), Some(int(day)))
    }
}

/// A small number as Avro's int.
fn int(n: usize) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}
