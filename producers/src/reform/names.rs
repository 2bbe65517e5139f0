//! Lists from which people are put together. Common names and streets, written by hand for this; weights are rough. The
//! shares of ethnic groups follow the census of 2019 (Tổng cục Thống kê), ages its pyramid, both rounded.

use super::draw::Draw;

/// How a full name is put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Family, middle, given.
    Family,
    /// `Y` or `H'`, given, clan: Ê-đê.
    Clan,
}

/// An ethnic group.
struct Group {
    code: &'static str,
    /// Own family names; empty: those of the majority.
    families: &'static [&'static str],
    order: Order,
}

const fn group(code: &'static str, families: &'static [&'static str]) -> Group {
    Group { code, families, order: Order::Family }
}

/// Groups and how many of 10,000 people belong to them. The last stands for all of [`SMALL_GROUPS`].
const GROUPS: &[(Group, usize)] = &[
    (group("01", &[]), 8_532),
    (group("02", &["Nông", "Hoàng", "Lương", "Ma", "Hà", "Đàm", "Bế"]), 192),
    (group("03", &["Lò", "Quàng", "Cầm", "Lường", "Vi", "Tòng", "Cà"]), 189),
    (group("06", &["Bùi", "Quách", "Đinh", "Bạch", "Hà"]), 151),
    (group("08", &["Giàng", "Vàng", "Sùng", "Thào", "Mùa", "Lầu", "Hạng"]), 145),
    (group("05", &["Thạch", "Sơn", "Danh", "Kim", "Kiên", "Lâm"]), 137),
    (group("07", &["Nông", "Hoàng", "Lý", "Vi", "Lục", "Mông"]), 113),
    (group("09", &["Triệu", "Bàn", "Đặng", "Phùng", "Lý", "Chảo"]), 93),
    (group("04", &["Trần", "Lý", "Lâm", "Quách", "Huỳnh", "Vương"]), 78),
    (group("10", &["Ksor", "Rơ Châm", "Siu", "Rah Lan", "Kpă", "Nay"]), 53),
    (Group { code: "12", families: &["Niê", "Mlô", "Kbuôr", "Ayŭn", "Êban", "Byă"], order: Order::Clan }, 41),
    (group("13", &["Đinh"]), 30),
    (group("14", &[]), 22),
    (group("15", &["Hoàng", "Trần", "Lý", "Ninh", "La"]), 21),
    (group("16", &["Kơ Să", "Liêng Jrang", "Cil Múp"]), 21),
    (group("17", &["Chế", "Bá", "Thành", "Quảng", "Đàng"]), 19),
    (group("18", &["Lưu", "Trương", "Lê", "Từ"]), 19),
    (group("19", &["Đinh", "Phạm"]), 16),
    (group("", &[]), 128),
];

/// Codes of the small groups, taken alike.
const SMALL_GROUPS: &[&str] = &[
    "11", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34", "35", "36", "37",
    "38", "39", "40", "41", "42", "43", "44", "45", "46", "47", "48", "49", "50", "51", "52", "53", "54",
];

const FAMILIES: &[(&str, usize)] = &[
    ("Nguyễn", 314),
    ("Trần", 109),
    ("Lê", 87),
    ("Phạm", 59),
    ("Hoàng", 30),
    ("Huỳnh", 38),
    ("Vũ", 39),
    ("Võ", 38),
    ("Phan", 37),
    ("Trương", 29),
    ("Bùi", 28),
    ("Đặng", 24),
    ("Đỗ", 22),
    ("Ngô", 16),
    ("Hồ", 14),
    ("Dương", 14),
    ("Đinh", 12),
    ("Lý", 10),
    ("Đoàn", 10),
    ("Lâm", 9),
    ("Trịnh", 9),
    ("Mai", 8),
    ("Đào", 8),
    ("Cao", 7),
    ("Hà", 7),
    ("Tạ", 6),
    ("Lương", 6),
    ("Châu", 4),
    ("Tô", 4),
    ("Thái", 3),
    ("Tôn Thất", 1),
];

const MIDDLE_MALE: &[(&str, usize)] = &[
    ("Văn", 60),
    ("Hữu", 12),
    ("Đức", 12),
    ("Công", 8),
    ("Quang", 9),
    ("Minh", 12),
    ("Xuân", 6),
    ("Ngọc", 8),
    ("Thanh", 8),
    ("Quốc", 9),
    ("Đình", 7),
    ("Trọng", 5),
    ("Gia", 6),
    ("Bá", 4),
    ("Thành", 6),
    ("Anh", 5),
    ("Tuấn", 4),
    ("Duy", 6),
    ("Hoàng", 6),
    ("Khắc", 2),
];

const MIDDLE_FEMALE: &[(&str, usize)] = &[
    ("Thị", 70),
    ("Ngọc", 14),
    ("Thu", 8),
    ("Thanh", 9),
    ("Thùy", 7),
    ("Minh", 7),
    ("Phương", 7),
    ("Hồng", 6),
    ("Kim", 8),
    ("Bích", 5),
    ("Mỹ", 6),
    ("Khánh", 5),
    ("Bảo", 5),
    ("Quỳnh", 5),
    ("Diệu", 3),
    ("Tuyết", 3),
    ("Như", 4),
    ("Hoài", 3),
];

const GIVEN_MALE: &[&str] = &[
    "An", "Anh", "Bảo", "Bình", "Cường", "Chiến", "Công", "Dũng", "Duy", "Đạt", "Đức", "Giang", "Hải", "Hào", "Hiếu",
    "Hòa", "Hoàng", "Hùng", "Huy", "Khang", "Khánh", "Khoa", "Kiên", "Lâm", "Long", "Lộc", "Mạnh", "Minh", "Nam",
    "Nghĩa", "Nhân", "Phát", "Phong", "Phúc", "Quân", "Quang", "Sơn", "Tài", "Tâm", "Thái", "Thắng", "Thành", "Thiện",
    "Thịnh", "Tiến", "Toàn", "Trung", "Tuấn", "Tùng", "Việt", "Vinh", "Vũ",
];

const GIVEN_FEMALE: &[&str] = &[
    "An", "Anh", "Ánh", "Bích", "Chi", "Cúc", "Diễm", "Dung", "Duyên", "Đào", "Giang", "Hà", "Hạnh", "Hằng", "Hiền",
    "Hoa", "Hoài", "Hồng", "Huệ", "Hương", "Huyền", "Khánh", "Lan", "Lê", "Liên", "Linh", "Loan", "Ly", "Mai", "My",
    "Nga", "Ngân", "Ngọc", "Nhi", "Nhung", "Oanh", "Phương", "Quyên", "Quỳnh", "Tâm", "Thảo", "Thu", "Thủy", "Tiên",
    "Trang", "Trâm", "Trinh", "Tuyết", "Uyên", "Vân", "Vy", "Yến",
];

const STREETS: &[&str] = &[
    "Lê Lợi",
    "Trần Hưng Đạo",
    "Nguyễn Huệ",
    "Hai Bà Trưng",
    "Lý Thường Kiệt",
    "Quang Trung",
    "Nguyễn Trãi",
    "Phan Bội Châu",
    "Phan Chu Trinh",
    "Lê Duẩn",
    "Điện Biên Phủ",
    "Nguyễn Du",
    "Ngô Quyền",
    "Trần Phú",
    "Hùng Vương",
    "Lê Thánh Tông",
    "Bà Triệu",
    "Nguyễn Thị Minh Khai",
    "Võ Thị Sáu",
    "Cách Mạng Tháng Tám",
    "Hoàng Diệu",
    "Lê Hồng Phong",
    "Nguyễn Văn Cừ",
    "Phạm Ngũ Lão",
    "Đinh Tiên Hoàng",
    "Tôn Đức Thắng",
    "30 Tháng 4",
    "Nguyễn Công Trứ",
];

const HAMLETS: &[&str] = &["Thôn", "Ấp", "Xóm", "Bản", "Khu", "Tổ"];

const HAMLET_NAMES: &[&str] = &[
    "Đông",
    "Đoài",
    "Thượng",
    "Hạ",
    "Trung",
    "An Bình",
    "Tân Lập",
    "Phú Mỹ",
    "Hòa Bình",
    "Long Thành",
    "Vĩnh Phước",
    "Đồng Tâm",
    "Bình Minh",
    "Nà Lạn",
    "Phước Thiện",
    "Mỹ Hòa",
    "Yên Sơn",
    "Cây Gạo",
];

/// First three digits of phone numbers: ranges that, to our knowledge, no operator has been given, so that
/// nobody's phone rings.
const PHONES: &[&str] = &["030", "031", "050", "051", "071", "072"];

/// Youngest age of each band and its weight; the last band ends at 99.
const AGES: &[(usize, usize)] = &[
    (0, 81),
    (5, 81),
    (10, 74),
    (15, 66),
    (20, 67),
    (25, 83),
    (30, 86),
    (35, 79),
    (40, 70),
    (45, 64),
    (50, 59),
    (55, 53),
    (60, 43),
    (65, 30),
    (70, 19),
    (75, 14),
    (80, 10),
    (85, 6),
    (90, 3),
    (95, 1),
];

/// An age in years, 0 to 99.
pub(super) fn age(draw: &mut Draw) -> usize {
    draw.weighted(AGES) + draw.below(5)
}

/// Ethnic group (01 to 54) and full name.
pub(super) fn group_and_name(male: bool, draw: &mut Draw) -> (&'static str, String) {
    let group = draw.weighted(GROUPS);
    let code = if group.code.is_empty() { draw.pick(SMALL_GROUPS) } else { group.code };
    let family = if group.families.is_empty() { draw.weighted(FAMILIES) } else { draw.pick(group.families) };
    let given = draw.pick(if male { GIVEN_MALE } else { GIVEN_FEMALE });
    let name = match (group.order, male) {
        (Order::Clan, true) => format!("Y {given} {family}"),
        (Order::Clan, false) => format!("H'{given} {family}"),
        (Order::Family, _) => {
            let middle = draw.weighted(if male { MIDDLE_MALE } else { MIDDLE_FEMALE });
            format!("{family} {middle} {given}")
        }
    };
    (code, name)
}

/// House and street in a ward or township, hamlet in a commune.
pub(super) fn address(urban: bool, draw: &mut Draw) -> String {
    if urban {
        let (house, street) = (draw.within(1, 499), draw.pick(STREETS));
        return if draw.permille(250) {
            format!("{house}/{} {street}", draw.within(1, 60))
        } else {
            format!("{house} {street}")
        };
    }
    let hamlet = draw.pick(HAMLETS);
    if draw.permille(500) {
        format!("{hamlet} {}", draw.within(1, 16))
    } else {
        format!("{hamlet} {}", draw.pick(HAMLET_NAMES))
    }
}

/// A phone number.
pub(super) fn phone(draw: &mut Draw) -> String {
    let range = draw.pick(PHONES);
    format!("{range}{}", draw.digits(7))
}

/// Marital status by sex and age: 0 unknown, 1 single, 2 married, 3 divorced, 4 widowed. Nobody is married below the
/// age of Luật Hôn nhân và gia đình 2014, article 8: 20 for men, 18 for women.
pub(super) fn marital_status(male: bool, age: usize, draw: &mut Draw) -> i32 {
    if age < if male { 20 } else { 18 } {
        return 1;
    }
    *draw.weighted(match age {
        0..=24 => &[(0, 1), (1, 76), (2, 22), (3, 1)],
        25..=34 => &[(0, 1), (1, 30), (2, 65), (3, 4)],
        35..=59 => &[(0, 1), (1, 7), (2, 83), (3, 6), (4, 3)],
        _ => &[(0, 1), (1, 4), (2, 65), (3, 4), (4, 26)],
    })
}

/// Blood group.
pub(super) fn blood_group(draw: &mut Draw) -> &'static str {
    const GROUPS: &[(&str, usize)] = &[("O", 42), ("B", 31), ("A", 21), ("AB", 6)];
    draw.weighted::<&str>(GROUPS)
}
