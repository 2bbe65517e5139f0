//! The shipped files, read and joined: which unit became part of which. Positions instead of codes from here on, so that
//! nothing is looked up while changes are made.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::exceptions::{self, Exception};

const BEFORE: &str = include_str!("../../data/reform-2025/units-before.csv");
const AFTER: &str = include_str!("../../data/reform-2025/units-after.csv");
const SUCCESSION: &str = include_str!("../../data/reform-2025/succession.csv");

/// Level of a commune, and of the special zones that islands became.
const COMMUNE: u8 = 3;

/// An administrative unit, as its file has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Unit {
    /// Code, with leading zeros.
    pub code: String,
    /// Full name, with the kind of unit.
    pub name: String,
    /// 1 province, 2 district, 3 commune.
    pub level: u8,
    /// Code of the unit above; none for a province.
    #[serde(rename = "parent_code")]
    pub parent: Option<String>,
    /// Code of its province; of a province, its own.
    #[serde(rename = "province_code")]
    pub province: String,
    /// Degrees, WGS 84.
    pub latitude: Option<f64>,
    /// Degrees, WGS 84.
    pub longitude: Option<f64>,
    /// km².
    #[serde(rename = "area_km2", default)]
    pub area: Option<f64>,
}

impl Unit {
    /// Whether people there live in streets rather than hamlets: a ward or a township.
    pub(super) fn urban(&self) -> bool {
        self.name.starts_with("Phường") || self.name.starts_with("Thị trấn")
    }
}

/// A row of `succession.csv`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Succession {
    pub(super) level: u8,
    pub(super) new_code: String,
    pub(super) new_name: String,
    pub(super) old_code: String,
    pub(super) old_name: String,
    #[serde(rename = "type")]
    pub(super) extent: Extent,
}

/// How much of the old unit went into the new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// All of it.
    Full,
    /// A part.
    Partial,
}

impl Extent {
    /// `full` or `partial`, as the schema has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
        }
    }
}

/// An old unit that a new one took over. Its code need not be in the old list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Predecessor {
    /// Code of the old unit.
    pub code: String,
    /// How much of it.
    pub extent: Extent,
}

/// An old commune in which people live, and the new ones it went into.
#[derive(Debug)]
pub(super) struct Home {
    /// Position in [`Reform::before`].
    pub(super) old: usize,
    /// Positions in [`Reform::after`], one for each row of the succession; at least one.
    pub(super) successors: Vec<usize>,
}

/// The reform, loaded.
#[derive(Debug)]
pub struct Reform {
    pub(super) before: Vec<Unit>,
    pub(super) after: Vec<Unit>,
    /// For each of `after`.
    pub(super) predecessors: Vec<Vec<Predecessor>>,
    /// Old communes with a successor.
    pub(super) homes: Vec<Home>,
    /// Positions in `after` of the communes, by province.
    pub(super) communes: BTreeMap<String, Vec<usize>>,
    pub(super) exceptions: Vec<Exception>,
}

/// Shipped data that cannot be read: a fault of the build, not of its user.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file is not the CSV it should be.
    #[error("the shipped file {file} cannot be read")]
    File {
        /// Its name.
        file: &'static str,
        /// Where and why.
        #[source]
        source: csv::Error,
    },
    /// A code stands twice in a file.
    #[error("the shipped file {file} has unit {code} twice")]
    Twice {
        /// Its name.
        file: &'static str,
        /// The code.
        code: String,
    },
    /// No old commune has a successor, or the new units are too few to move in.
    #[error("the shipped units leave nobody a place to live")]
    NoHomes,
}

impl Reform {
    /// Reads the files that are built into the binary.
    ///
    /// # Errors
    /// [`DataError`], when the build shipped other files than it was tested with.
    pub fn load() -> Result<Self, DataError> {
        Self::read(BEFORE, AFTER, SUCCESSION)
    }

    pub(super) fn read(before: &str, after: &str, succession: &str) -> Result<Self, DataError> {
        let before: Vec<Unit> = rows("units-before.csv", before)?;
        let after: Vec<Unit> = rows("units-after.csv", after)?;
        let succession: Vec<Succession> = rows("succession.csv", succession)?;
        let old_at = positions("units-before.csv", &before)?;
        let new_at = positions("units-after.csv", &after)?;
        let new_of = exceptions::resolve(&before, &after, &succession);

        let mut predecessors = vec![Vec::new(); after.len()];
        let mut successors: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (row, code) in succession.iter().zip(&new_of.codes) {
            let Some(new) = code.as_deref().and_then(|code| new_at.get(code)).copied() else { continue };
            predecessors[new].push(Predecessor { code: row.old_code.clone(), extent: row.extent });
            if let Some(old) = old_at.get(row.old_code.as_str()).copied()
                && before[old].level == COMMUNE
                && after[new].level == COMMUNE
            {
                successors.entry(old).or_default().push(new);
            }
        }
        let homes: Vec<_> = successors.into_iter().map(|(old, successors)| Home { old, successors }).collect();
        let mut communes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, unit) in after.iter().enumerate().filter(|(_, unit)| unit.level == COMMUNE) {
            communes.entry(unit.province.clone()).or_default().push(at);
        }
        if homes.is_empty() || communes.values().any(|list| list.len() < 2) {
            return Err(DataError::NoHomes);
        }
        Ok(Self { before, after, predecessors, homes, communes, exceptions: new_of.exceptions })
    }

    /// The units before the reform, in the order of their file.
    #[must_use]
    pub fn before(&self) -> &[Unit] {
        &self.before
    }

    /// The units after it, in the order of their file.
    #[must_use]
    pub fn after(&self) -> &[Unit] {
        &self.after
    }

    /// Where the files contradict each other, in the order in which it is met.
    #[must_use]
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }
}

fn rows<T: DeserializeOwned>(file: &'static str, text: &str) -> Result<Vec<T>, DataError> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().collect::<Result<_, _>>().map_err(|source| DataError::File { file, source })
}

fn positions<'a>(file: &'static str, units: &'a [Unit]) -> Result<HashMap<&'a str, usize>, DataError> {
    let mut seen = HashSet::new();
    if let Some(unit) = units.iter().find(|unit| !seen.insert(unit.code.as_str())) {
        return Err(DataError::Twice { file, code: unit.code.clone() });
    }
    Ok(units.iter().enumerate().map(|(at, unit)| (unit.code.as_str(), at)).collect())
}
