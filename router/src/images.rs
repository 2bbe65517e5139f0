//! Writing state images beside the loop: from a clone of the state, on a thread of its own, one at a time.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crate::image::{Image, ImageError};

/// See the module's documentation.
pub(crate) struct Images {
    dir: Option<PathBuf>,
    running: Option<JoinHandle<Result<(), ImageError>>>,
}

impl Images {
    pub(crate) const fn new(dir: Option<PathBuf>) -> Self {
        Self { dir, running: None }
    }

    /// Whether an image could be written now.
    pub(crate) fn free(&self) -> bool {
        self.dir.is_some() && self.running.is_none()
    }

    /// Writes `image` on a thread.
    pub(crate) fn start(&mut self, image: Image) {
        let Some(dir) = self.dir.clone() else { return };
        let work = move || {
            std::fs::create_dir_all(&dir)
                .map_or_else(|source| Err(ImageError::Io { path: dir.clone(), source }), |()| image.write(&dir))
        };
        // Without a thread there is no image; the log has everything.
        self.running = std::thread::Builder::new().name("kenh-image".into()).spawn(work).ok();
    }

    /// What became of the one that has ended.
    pub(crate) fn ended(&mut self) -> Option<Result<(), ImageError>> {
        if self.running.as_ref().is_some_and(JoinHandle::is_finished) { self.join() } else { None }
    }

    /// Waits for the one that is being written, if there is one.
    pub(crate) fn join(&mut self) -> Option<Result<(), ImageError>> {
        // A thread that panicked has written nothing that is taken for an image: the name comes last.
        self.running.take().and_then(|thread| thread.join().ok())
    }
}

impl Drop for Images {
    fn drop(&mut self) {
        self.join();
    }
}
