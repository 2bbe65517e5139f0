//! Somebody else's registry, Apicurio's, in memory: started by `tests/foreign/apicurio` and gone with its owner.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use crate::outside::until;

/// A Java program of that size starts in seconds, on a loaded machine in many.
const PATIENCE: Duration = Duration::from_secs(120);
const API: &str = "/apis/ccompat/v7";

/// A running Apicurio Registry.
pub struct Apicurio {
    process: Child,
    lives: Option<ChildStdin>,
    port: u16,
}

impl Apicurio {
    /// Starts one and waits until it answers. None where there is no Java 21 or newer, which it needs; the reason is
    /// printed.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("tests/foreign/apicurio");
        let mut process =
            Command::new(script).arg(port.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        if said.starts_with("not tried") {
            eprint!("{said}");
            process.wait().unwrap();
            return None;
        }
        let apicurio = Self { lives: process.stdin.take(), process, port };
        until("Apicurio Registry", PATIENCE, || apicurio.answers().then_some(()));
        Some(apicurio)
    }

    /// Where it speaks Confluent's API.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{API}", self.port)
    }

    fn answers(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
            write!(stream, "GET {API}/subjects HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
    }
}

impl Drop for Apicurio {
    fn drop(&mut self) {
        drop(self.lives.take());
        let _ = self.process.wait();
    }
}
