//! State images: what the router knows of a data partition, on disk, so that a start need not read the whole log.
//!
//! An image is a shortcut and never a truth: a missing, damaged or foreign one costs a replay of the data log and
//! nothing else. One of a newer format is refused plainly instead, because it says that a newer release ran here.
//!
//! Format 1. Numbers are little-endian; `text` is a 2-byte length and UTF-8.
//!
//! ```text
//! "kenhimg\n"  8 bytes
//! format       u32 = 1
//! incarnation  text    of the log that the positions speak of
//! secret       8 bytes of a mac under the state secret: another secret, other hashes
//! dataset      text
//! partition    u32
//! next         u64     position in the data partition to go on reading from
//! sequence     u64     of the last data record covered
//! marker       u32 length (0: none yet), then the latest marker framed as in the data log
//! views        u32 count, u32 each: editions that were written to
//! closed       u32 count, u32 each: editions that will never be written to again
//! owners       u32 count, text each
//! keys         u64 count, then each:
//!   hash 16, content 16, sequence u64, epoch u32, version u64, owner u16, cancelled u8,
//!   holdings u32 count, then each: view u32, digest u64
//! checksum     32 bytes: SHA-256 of everything before it
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use kenh_domain::control::ViewNo;
use kenh_domain::frame::{self, Data, Marker, Sequence, Version};
use kenh_domain::log::{Incarnation, Position};
use kenh_domain::names::{Agency, Dataset};
use kenh_domain::route::Holding;
use kenh_domain::secret::Secret;
use kenh_domain::topic::Partition;
use sha2::{Digest, Sha256};

use crate::state::{KeyHash, Known, State};

/// The format number that this release writes.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"kenhimg\n";

/// Most bytes that a length in an image may announce: a damaged one must not ask for all memory.
const MAX_PIECE: usize = 1 << 24;

/// Whose image it is: anything else is foreign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The log that its positions speak of.
    pub incarnation: Incarnation,
    /// Tells one state secret from another without telling it.
    pub secret_tag: [u8; 8],
    /// The dataset.
    pub dataset: Dataset,
    /// The partition.
    pub partition: Partition,
}

impl Identity {
    /// Of a data partition of a log, hashed under the state secret.
    #[must_use]
    pub fn new(incarnation: Incarnation, secret: &Secret, dataset: Dataset, partition: Partition) -> Self {
        let mut secret_tag = [0; 8];
        secret_tag.copy_from_slice(&secret.mac(b"image")[..8]);
        Self { incarnation, secret_tag, dataset, partition }
    }

    /// Where its image lies.
    #[must_use]
    pub fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.{}.image", self.dataset, self.partition))
    }
}

/// A state as of one position of its data partition.
#[derive(Clone)]
pub struct Image {
    /// Whose.
    pub identity: Identity,
    /// Position to go on reading from.
    pub next: Position,
    /// Sequence of the last data record covered.
    pub sequence: Sequence,
    /// The latest marker covered.
    pub marker: Option<Marker>,
    /// Editions that were written to.
    pub views: Vec<ViewNo>,
    /// Editions that will never be written to again.
    pub closed: Vec<ViewNo>,
    /// Owners by the numbers that the state uses.
    pub owners: Vec<Agency>,
    /// The record keys.
    pub state: State,
}

/// Why an image could not be written or is not used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file system failed.
    #[error("state image {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// Cut short, changed, or never an image.
    #[error("state image {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it shows.
        what: &'static str,
    },
    /// Of another log, secret, dataset or partition.
    #[error("state image {} is foreign: it was made for another {what}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
    },
    /// Written by a newer release.
    #[error(
        "state image {} has format {format}; this release reads {FORMAT}: use a newer kenh, or remove the file to have \
         the state read from the log again",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u32,
    },
}

impl Image {
    /// Writes it into `dir`: to a temporary file, synced, renamed over the one before, the directory synced.
    ///
    /// # Errors
    /// [`ImageError::Io`]; the image before is then still whole.
    pub fn write(&self, dir: &Path) -> Result<(), ImageError> {
        let path = self.identity.path(dir);
        self.write_to(&path).map_err(|source| ImageError::Io { path, source })
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("image.new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut out =
            Hashing { inner: BufWriter::with_capacity(1 << 16, options.open(&temporary)?), hash: Sha256::new() };
        self.put(&mut out)?;
        let checksum: [u8; 32] = out.hash.clone().finalize().into();
        out.write_all(&checksum)?;
        out.inner.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(dir) = path.parent() {
            File::open(dir)?.sync_all()?;
        }
        Ok(())
    }

    fn put(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(MAGIC)?;
        out.write_all(&FORMAT.to_le_bytes())?;
        put_text(&self.identity.incarnation.0, out)?;
        out.write_all(&self.identity.secret_tag)?;
        put_text(self.identity.dataset.as_str(), out)?;
        out.write_all(&self.identity.partition.0.to_le_bytes())?;
        out.write_all(&self.next.0.to_le_bytes())?;
        out.write_all(&self.sequence.0.to_le_bytes())?;
        let marker = self.marker.clone().map(|m| frame::encode(self.sequence, &Data::Marker(m))).unwrap_or_default();
        put_count(marker.len(), out)?;
        out.write_all(&marker)?;
        for views in [&self.views, &self.closed] {
            put_count(views.len(), out)?;
            for view in views {
                out.write_all(&view.0.to_le_bytes())?;
            }
        }
        put_count(self.owners.len(), out)?;
        for owner in &self.owners {
            put_text(owner.as_str(), out)?;
        }
        out.write_all(&(self.state.len() as u64).to_le_bytes())?;
        for (hash, known) in self.state.iter() {
            put_known(hash, &known, out)?;
        }
        Ok(())
    }

    /// Reads the image of `identity` in `dir`; none when there is no file.
    ///
    /// # Errors
    /// [`ImageError`]: only [`ImageError::Newer`] should stop a router; after the others it reads the log.
    pub fn read(dir: &Path, identity: &Identity) -> Result<Option<Self>, ImageError> {
        let path = identity.path(dir);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ImageError::Io { path, source }),
        };
        let mut source = Hashing { inner: BufReader::with_capacity(1 << 16, file), hash: Sha256::new() };
        read_from(&mut source, identity).map(Some).map_err(|bad| match bad {
            Bad::Io(e) if e.kind() == io::ErrorKind::UnexpectedEof => ImageError::Damaged { path, what: "cut short" },
            Bad::Io(source) => ImageError::Io { path, source },
            Bad::Damaged(what) => ImageError::Damaged { path, what },
            Bad::Foreign(what) => ImageError::Foreign { path, what },
            Bad::Newer(format) => ImageError::Newer { path, format },
        })
    }
}

fn put_text(text: &str, out: &mut impl Write) -> io::Result<()> {
    let length = u16::try_from(text.len()).map_err(|_| io::Error::other("a name longer than 64 KiB"))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(text.as_bytes())
}

fn put_count(count: usize, out: &mut impl Write) -> io::Result<()> {
    let count = u32::try_from(count).map_err(|_| io::Error::other("more than 2^32 of a kind"))?;
    out.write_all(&count.to_le_bytes())
}

fn put_known(hash: KeyHash, known: &Known, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&hash.0.to_le_bytes())?;
    out.write_all(&known.content.to_le_bytes())?;
    out.write_all(&known.sequence.0.to_le_bytes())?;
    out.write_all(&known.version.epoch.to_le_bytes())?;
    out.write_all(&known.version.version.to_le_bytes())?;
    out.write_all(&known.owner.to_le_bytes())?;
    out.write_all(&[u8::from(known.cancelled)])?;
    put_count(known.holdings.len(), out)?;
    for holding in &known.holdings {
        out.write_all(&holding.view.0.to_le_bytes())?;
        out.write_all(&holding.digest.to_le_bytes())?;
    }
    Ok(())
}

enum Bad {
    Io(io::Error),
    Damaged(&'static str),
    Foreign(&'static str),
    Newer(u32),
}

impl From<io::Error> for Bad {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

fn read_from(source: &mut Hashing<impl Read>, identity: &Identity) -> Result<Image, Bad> {
    if &array::<8>(source)? != MAGIC {
        return Err(Bad::Damaged("not a state image"));
    }
    match u32::from_le_bytes(array(source)?) {
        FORMAT => {}
        newer if newer > FORMAT => return Err(Bad::Newer(newer)),
        _ => return Err(Bad::Damaged("unknown format")),
    }
    let mine = |same: bool, what| if same { Ok(()) } else { Err(Bad::Foreign(what)) };
    mine(text(source)? == identity.incarnation.0, "log")?;
    mine(array::<8>(source)? == identity.secret_tag, "secret")?;
    mine(text(source)? == identity.dataset.as_str(), "dataset")?;
    mine(u32::from_le_bytes(array(source)?) == identity.partition.0, "partition")?;
    let next = Position(u64::from_le_bytes(array(source)?));
    let sequence = Sequence(u64::from_le_bytes(array(source)?));
    let marker = match count(source)? {
        0 => None,
        length => match frame::decode(&piece(source, length)?) {
            Ok((_, Data::Marker(marker))) => Some(marker),
            _ => return Err(Bad::Damaged("marker")),
        },
    };
    let views = numbers(source)?;
    let closed = numbers(source)?;
    let mut owners = Vec::new();
    for _ in 0..count(source)? {
        owners.push(Agency::new(&text(source)?).map_err(|_| Bad::Damaged("owner"))?);
    }
    let mut state = State::default();
    let keys = u64::from_le_bytes(array(source)?);
    for _ in 0..keys {
        let (hash, known) = known(source)?;
        if usize::from(known.owner) >= owners.len() {
            return Err(Bad::Damaged("owner of a key"));
        }
        state.put(hash, &known);
    }
    let checksum: [u8; 32] = source.hash.clone().finalize().into();
    if array::<32>(source)? != checksum || state.len() as u64 != keys || source.inner.read(&mut [0])? != 0 {
        return Err(Bad::Damaged("checksum"));
    }
    Ok(Image { identity: identity.clone(), next, sequence, marker, views, closed, owners, state })
}

fn known(source: &mut impl Read) -> Result<(KeyHash, Known), Bad> {
    let hash = KeyHash(u128::from_le_bytes(array(source)?));
    let content = u128::from_le_bytes(array(source)?);
    let sequence = Sequence(u64::from_le_bytes(array(source)?));
    let epoch = u32::from_le_bytes(array(source)?);
    let version = u64::from_le_bytes(array(source)?);
    let owner = u16::from_le_bytes(array(source)?);
    let cancelled = array::<1>(source)?[0] != 0;
    let mut known = Known {
        owner,
        cancelled,
        sequence,
        version: Version { epoch, version },
        content,
        holdings: smallvec::SmallVec::new(),
    };
    for _ in 0..count(source)? {
        let view = ViewNo(u32::from_le_bytes(array(source)?));
        known.holdings.push(Holding { view, digest: u64::from_le_bytes(array(source)?) });
    }
    Ok((hash, known))
}

fn array<const N: usize>(source: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn count(source: &mut impl Read) -> Result<usize, Bad> {
    let n = u32::from_le_bytes(array(source)?) as usize;
    if n > MAX_PIECE { Err(Bad::Damaged("a count beyond reason")) } else { Ok(n) }
}

fn piece(source: &mut impl Read, length: usize) -> Result<Vec<u8>, Bad> {
    let mut bytes = vec![0; length];
    source.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn text(source: &mut impl Read) -> Result<String, Bad> {
    let length = usize::from(u16::from_le_bytes(array(source)?));
    String::from_utf8(piece(source, length)?).map_err(|_| Bad::Damaged("not UTF-8"))
}

fn numbers(source: &mut impl Read) -> Result<Vec<ViewNo>, Bad> {
    let mut all = Vec::new();
    for _ in 0..count(source)? {
        all.push(ViewNo(u32::from_le_bytes(array(source)?)));
    }
    Ok(all)
}

/// Hashes what passes through.
struct Hashing<T> {
    inner: T,
    hash: Sha256,
}

impl<T: Write> Write for Hashing<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashing<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smallvec::smallvec;

    fn identity() -> Identity {
        let dataset = Dataset::new("don-vi").unwrap();
        Identity::new(Incarnation("log-1".into()), &Secret::new([7; 32]), dataset, Partition(2))
    }

    fn image() -> Image {
        let mut state = State::default();
        for n in 0..20u128 {
            let holding = |v: u32| Holding { view: ViewNo(v), digest: u64::from(v) << 40 | 9 };
            let known = Known {
                owner: (n % 2) as u16,
                cancelled: n % 3 == 0,
                sequence: Sequence(n as u64 + 1),
                version: Version { epoch: 1, version: n as u64 },
                content: n << 64,
                holdings: (0..(n as u32 % 7)).map(holding).collect(),
            };
            state.put(KeyHash(n << 118 | n), &known);
        }
        Image {
            identity: identity(),
            next: Position(41),
            sequence: Sequence(21),
            marker: Some(Marker {
                control: Position(5),
                control_digest: [3; 32],
                clock_ms: 99,
                engine: 1,
                code_lists: vec![],
            }),
            views: vec![ViewNo(0), ViewNo(4)],
            closed: vec![ViewNo(2)],
            owners: vec![Agency::new("G01").unwrap(), Agency::new("G09").unwrap()],
            state,
        }
    }

    fn same(a: &Image, b: &Image) -> bool {
        (a.next, a.sequence, &a.marker, &a.views, &a.closed, &a.owners)
            == (b.next, b.sequence, &b.marker, &b.views, &b.closed, &b.owners)
            && a.state.iter().eq(b.state.iter())
    }

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Image::read(dir.path(), &identity()).unwrap().is_none());
        image().write(dir.path()).unwrap();
        assert!(same(&Image::read(dir.path(), &identity()).unwrap().unwrap(), &image()));
        // An empty one too, and over the one before.
        let empty = Image { marker: None, owners: vec![], state: State::default(), ..image() };
        empty.write(dir.path()).unwrap();
        assert!(same(&Image::read(dir.path(), &identity()).unwrap().unwrap(), &empty));
    }

    #[test]
    fn format_1_stays_as_it_was_first_written() {
        let dir = tempfile::tempdir().unwrap();
        image().write(dir.path()).unwrap();
        let written = fs::read(identity().path(dir.path())).unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/image-format-1.image");
        if std::env::var_os("KENH_WRITE_FIXTURES").is_some() {
            fs::write(&fixture, &written).unwrap();
        }
        assert_eq!(fs::read(&fixture).unwrap(), written);
        // And the file that was kept is read.
        let other = tempfile::tempdir().unwrap();
        fs::copy(fixture, identity().path(other.path())).unwrap();
        assert!(same(&Image::read(other.path(), &identity()).unwrap().unwrap(), &image()));
    }

    fn error_of(change: impl FnOnce(&mut Vec<u8>)) -> ImageError {
        let dir = tempfile::tempdir().unwrap();
        image().write(dir.path()).unwrap();
        let path = identity().path(dir.path());
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(&path, bytes).unwrap();
        Image::read(dir.path(), &identity()).err().unwrap()
    }

    #[test]
    fn a_newer_format_is_refused_plainly() {
        let e = error_of(|b| b[8] = 2);
        assert!(matches!(e, ImageError::Newer { format: 2, .. }));
        assert!(e.to_string().contains("use a newer kenh"));
    }

    #[test]
    fn a_foreign_one_is_told_from_ours() {
        let dir = tempfile::tempdir().unwrap();
        image().write(dir.path()).unwrap();
        let other = Identity { incarnation: Incarnation("log-2".into()), ..identity() };
        let e = Image::read(dir.path(), &other).err().unwrap();
        assert!(matches!(e, ImageError::Foreign { what: "log", .. }), "{e}");
        let other = Identity { secret_tag: [0; 8], ..identity() };
        let e = Image::read(dir.path(), &other).err().unwrap();
        assert!(matches!(e, ImageError::Foreign { what: "secret", .. }), "{e}");
    }

    #[test]
    fn one_with_bytes_after_its_end_is_damaged() {
        assert!(matches!(error_of(|b| b.push(0)), ImageError::Damaged { .. }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn one_cut_or_changed_anywhere_is_never_taken(at: prop::sample::Index, cut: bool) {
            let e = error_of(|b| {
                let at = at.index(b.len());
                if cut { b.truncate(at) } else { b[at] ^= 0x40 }
            });
            let refused = matches!(e, ImageError::Damaged { .. } | ImageError::Foreign { .. } | ImageError::Newer { .. });
            prop_assert!(refused, "{}", e);
        }
    }

    #[test]
    fn holdings_beyond_the_inline_ones_are_kept() {
        let many: smallvec::SmallVec<[Holding; 4]> = smallvec![Holding { view: ViewNo(1), digest: 2 }; 6];
        let dir = tempfile::tempdir().unwrap();
        let mut one = image();
        let known = Known { holdings: many, ..one.state.get(KeyHash(0)).unwrap() };
        one.state.put(KeyHash(0), &known);
        one.write(dir.path()).unwrap();
        assert_eq!(Image::read(dir.path(), &identity()).unwrap().unwrap().state.get(KeyHash(0)), Some(known));
    }
}
