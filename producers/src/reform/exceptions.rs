//! Where the three files contradict each other. Each case is computed from them, kept as it is at the source, and said
//! to whoever watches; only an alias is followed, since the reform names one unit by it and no other.

use std::collections::{HashMap, HashSet};

use kenh_domain::rule::Lang;

use super::data::{Succession, Unit};

/// One contradiction. Codes and names of units are no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exception {
    /// The succession calls a new unit by a code that is not its own. Followed.
    Alias {
        /// The code in the succession.
        used: String,
        /// The unit's own code.
        own: String,
        /// Its name.
        name: String,
    },
    /// The succession gives old units to a new one that does not exist. Left out.
    UnknownSuccessor {
        /// The code in the succession.
        code: String,
        /// The name there.
        name: String,
    },
    /// A predecessor is not among the old units. Kept in `KeThua`.
    AbsentPredecessor {
        /// Its code.
        code: String,
        /// Its name in the succession.
        name: String,
        /// The new unit that took it over.
        successor: String,
    },
    /// A predecessor of a commune is of another level: an island district that became a special zone.
    OtherLevel {
        /// Its code.
        code: String,
        /// Its name.
        name: String,
        /// Its level.
        level: u8,
        /// The new unit that took it over.
        successor: String,
    },
    /// A unit is given to a province that its own did not become part of. Kept.
    OtherProvince {
        /// Code of the old unit.
        code: String,
        /// Its name.
        name: String,
        /// Its old province.
        province: String,
        /// The new unit it is given to.
        successor: String,
        /// The province of that.
        successor_province: String,
        /// An old unit of the same name that is given to the same new one: the likely origin of the slip.
        namesake: Option<String>,
    },
    /// An old province or commune without successor. Nobody lives there.
    NoSuccessor {
        /// Its code.
        code: String,
        /// Its name.
        name: String,
    },
    /// A new unit that took over nothing.
    NoPredecessor {
        /// Its code.
        code: String,
        /// Its name.
        name: String,
    },
}

impl Exception {
    /// It as a sentence.
    #[must_use]
    pub fn message(&self, lang: Lang) -> String {
        match (self, lang) {
            (Self::Alias { used, own, name }, Lang::En) => {
                format!("the succession calls {name} {used}; its code is {own}")
            }
            (Self::Alias { used, own, name }, Lang::Vi) => {
                format!("bảng kế thừa ghi {name} là {used}; mã đúng là {own}")
            }
            (Self::UnknownSuccessor { code, name }, Lang::En) => format!("there is no new unit {code} ({name})"),
            (Self::UnknownSuccessor { code, name }, Lang::Vi) => format!("không có đơn vị mới {code} ({name})"),
            (Self::AbsentPredecessor { code, name, successor }, Lang::En) => {
                format!("{successor} took over {code} ({name}), which is missing in the list of old units")
            }
            (Self::AbsentPredecessor { code, name, successor }, Lang::Vi) => {
                format!("{successor} kế thừa {code} ({name}), đơn vị này không có trong danh mục cũ")
            }
            (Self::OtherLevel { code, name, level, successor }, Lang::En) => {
                format!("{successor} took over {code} ({name}), a unit of level {level}")
            }
            (Self::OtherLevel { code, name, level, successor }, Lang::Vi) => {
                format!("{successor} kế thừa {code} ({name}), đơn vị cấp {level}")
            }
            (Self::OtherProvince { code, name, province, successor, successor_province, namesake }, lang) => {
                let slip = namesake.as_deref();
                match lang {
                    Lang::En => format!(
                        "{code} ({name}) of old province {province} is given to {successor} in province \
                         {successor_province}, which {province} did not join{}",
                        slip.map_or(String::new(), |n| format!("; perhaps a slip for its namesake {n}"))
                    ),
                    Lang::Vi => format!(
                        "{code} ({name}) thuộc tỉnh cũ {province} được ghi vào {successor} của tỉnh \
                         {successor_province}, nơi tỉnh {province} không sáp nhập vào{}",
                        slip.map_or(String::new(), |n| format!("; có thể nhầm với đơn vị trùng tên {n}"))
                    ),
                }
            }
            (Self::NoSuccessor { code, name }, Lang::En) => format!("nothing took over {code} ({name})"),
            (Self::NoSuccessor { code, name }, Lang::Vi) => format!("không có đơn vị kế thừa {code} ({name})"),
            (Self::NoPredecessor { code, name }, Lang::En) => format!("{code} ({name}) took over nothing"),
            (Self::NoPredecessor { code, name }, Lang::Vi) => format!("{code} ({name}) không kế thừa đơn vị nào"),
        }
    }
}

/// What the succession means.
pub(super) struct Resolved {
    /// For each row, the new unit's own code; none when there is no such unit.
    pub(super) codes: Vec<Option<String>>,
    pub(super) exceptions: Vec<Exception>,
}

pub(super) fn resolve(before: &[Unit], after: &[Unit], succession: &[Succession]) -> Resolved {
    let old: HashMap<_, _> = before.iter().map(|unit| (unit.code.as_str(), unit)).collect();
    let new: HashMap<_, _> = after.iter().map(|unit| (unit.code.as_str(), unit)).collect();
    let named: HashSet<_> = succession.iter().map(|row| row.new_code.as_str()).collect();
    let joined = provinces_joined(succession);
    let mut exceptions = Vec::new();
    let mut codes = Vec::with_capacity(succession.len());
    for row in succession {
        let from = old.get(row.old_code.as_str()).copied();
        let to = new.get(row.new_code.as_str()).copied().or_else(|| alias(row, from, after, &named, &joined));
        codes.push(to.map(|unit| unit.code.clone()));
        let found = match (from, to) {
            (_, None) => Exception::UnknownSuccessor { code: row.new_code.clone(), name: row.new_name.clone() },
            (_, Some(to)) if to.code != row.new_code => {
                Exception::Alias { used: row.new_code.clone(), own: to.code.clone(), name: to.name.clone() }
            }
            (None, Some(to)) => Exception::AbsentPredecessor {
                code: row.old_code.clone(),
                name: row.old_name.clone(),
                successor: to.code.clone(),
            },
            (Some(from), Some(to)) if from.level != row.level => Exception::OtherLevel {
                code: from.code.clone(),
                name: from.name.clone(),
                level: from.level,
                successor: to.code.clone(),
            },
            (Some(from), Some(to)) if !joined.contains(&(from.province.as_str(), to.province.as_str())) => {
                Exception::OtherProvince {
                    code: from.code.clone(),
                    name: from.name.clone(),
                    province: from.province.clone(),
                    successor: to.code.clone(),
                    successor_province: to.province.clone(),
                    namesake: namesake(row, succession),
                }
            }
            _ => continue,
        };
        // An alias may stand in several rows; it is one exception.
        if !exceptions.contains(&found) {
            exceptions.push(found);
        }
    }
    let taken: HashSet<_> = succession.iter().map(|row| row.old_code.as_str()).collect();
    let given: HashSet<_> = codes.iter().flatten().map(String::as_str).collect();
    // Districts were abolished as such: they have no successors, and need none.
    let orphans = before.iter().filter(|unit| unit.level != 2 && !taken.contains(unit.code.as_str()));
    exceptions.extend(orphans.map(|u| Exception::NoSuccessor { code: u.code.clone(), name: u.name.clone() }));
    let upstarts = after.iter().filter(|unit| !given.contains(unit.code.as_str()));
    exceptions.extend(upstarts.map(|u| Exception::NoPredecessor { code: u.code.clone(), name: u.name.clone() }));
    Resolved { codes, exceptions }
}

/// Pairs (old province, new province) of which the first became part of the second.
fn provinces_joined(succession: &[Succession]) -> HashSet<(&str, &str)> {
    let provinces = succession.iter().filter(|row| row.level == 1);
    provinces.map(|row| (row.old_code.as_str(), row.new_code.as_str())).collect()
}

/// The new unit that a row with an unknown code means: the only one of that name and level, in a province that the old
/// unit's became part of, that no row calls by its own code.
fn alias<'a>(
    row: &Succession,
    from: Option<&Unit>,
    after: &'a [Unit],
    named: &HashSet<&str>,
    joined: &HashSet<(&str, &str)>,
) -> Option<&'a Unit> {
    let province = &from?.province;
    let mut fits = after.iter().filter(|unit| {
        unit.level == row.level
            && unit.name == row.new_name
            && !named.contains(unit.code.as_str())
            && joined.contains(&(province.as_str(), unit.province.as_str()))
    });
    fits.next().filter(|_| fits.next().is_none())
}

fn namesake(row: &Succession, succession: &[Succession]) -> Option<String> {
    let same = |other: &&Succession| {
        other.new_code == row.new_code && other.old_name == row.old_name && other.old_code != row.old_code
    };
    succession.iter().find(same).map(|other| other.old_code.clone())
}
