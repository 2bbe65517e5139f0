//! Calls to the node that runs on this directory, by loopback HTTP with the token it left there.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::remote::{Answer, Call};

/// What a running node leaves in its directory (`node.json`, readable by its owner alone).
#[derive(Clone, Serialize, Deserialize)]
pub struct Running {
    /// Its process id, for people.
    pub pid: u32,
    /// Where it listens: `127.0.0.1:8490`.
    pub address: String,
    /// What it takes as a bearer token.
    pub token: String,
}

/// Why a call to the node failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It did not answer at all.
    #[error("the node at {address} does not answer; if it is gone, delete node.json in the data directory")]
    Connect {
        /// Where it should be.
        address: String,
        /// Why not.
        #[source]
        source: Box<ureq::Error>,
    },
    /// It answered something else.
    #[error("{0}")]
    Answer(String),
    /// It does not understand the filter that was sent.
    #[error("{0}")]
    Filter(String),
}

/// A client of a running node.
pub struct Client {
    agent: ureq::Agent,
    running: Running,
}

impl Client {
    /// A client of the node that left `running`.
    #[must_use]
    pub fn new(running: Running) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(120)))
            .http_status_as_error(false)
            .proxy(None)
            .build();
        Self { agent: config.into(), running }
    }

    /// Where the node listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.running.address
    }

    fn connect(&self, source: ureq::Error) -> CallError {
        CallError::Connect { address: self.running.address.clone(), source: Box::new(source) }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.address)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.running.token)
    }

    /// GET, answered by JSON.
    ///
    /// # Errors
    /// [`CallError`]; a status other than 200 with the sentence that came with it.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let call = self.agent.get(self.url(path)).header("Authorization", self.bearer());
        let response = call.call().map_err(|e| self.connect(e))?;
        self.read(response)
    }

    /// GET, answered by bytes, copied to `to` as they come.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn download(&self, path: &str, to: &mut dyn std::io::Write) -> Result<(), CallError> {
        let call = self.agent.get(self.url(path)).header("Authorization", self.bearer());
        let mut response = call.call().map_err(|e| self.connect(e))?;
        if response.status() != 200 {
            return self.read::<serde_json::Value>(response).map(|_| ());
        }
        std::io::copy(&mut response.body_mut().as_reader(), to)
            .map(|_| ())
            .map_err(|e| CallError::Answer(format!("the node's answer broke off: {e}")))
    }

    /// POST of JSON, answered by JSON.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, CallError> {
        let call = self.agent.post(self.url(path)).header("Authorization", self.bearer());
        let response = call.send_json(body).map_err(|e| self.connect(e))?;
        self.read(response)
    }

    /// One call on the node's log.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn log(&self, call: &Call) -> Result<Answer, CallError> {
        self.post("/v1/log", call)
    }

    fn read<T: DeserializeOwned>(&self, mut response: ureq::http::Response<ureq::Body>) -> Result<T, CallError> {
        let status = response.status();
        let body = response
            .body_mut()
            .with_config()
            .limit(256 << 20)
            .read_to_vec()
            .map_err(|e| CallError::Answer(format!("the node's answer broke off: {e}")))?;
        if status != 200 {
            let said = serde_json::from_slice::<serde_json::Value>(&body).ok();
            let message = said.as_ref().and_then(|v| v["message"].as_str()).unwrap_or("no reason given");
            if status == 422 {
                return Err(CallError::Filter(message.to_owned()));
            }
            return Err(CallError::Answer(format!("the node answered {}: {message}", status.as_u16())));
        }
        serde_json::from_slice(&body)
            .map_err(|e| CallError::Answer(format!("the node's answer is not understood: {e}")))
    }
}
