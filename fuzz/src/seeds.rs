//! Writes the seeds of every entry point, and the inputs that once broke it, into `corpus/<name>/`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in kenh_fuzz::entry::ALL {
        let corpus = here.join("corpus").join(entry.name);
        std::fs::create_dir_all(&corpus)?;
        for (n, seed) in (entry.seeds)().iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{n}")), seed)?;
        }
        let kept = here.join("regressions").join(entry.name);
        if kept.is_dir() {
            for file in std::fs::read_dir(kept)? {
                let file = file?;
                std::fs::copy(file.path(), corpus.join(file.file_name()))?;
            }
        }
    }
    Ok(())
}
