//! A Kafka behind TLS with nothing on it but the access lists, and machines around it that each show one certificate.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use kenh_broker::kafka::{KafkaLog, Options};
use kenh_domain::identity::Serial;
use kenh_domain::log::Log as _;
use kenh_domain::names::Principal;
use kenh_governance::{Applied, Plan};
use kenh_testkit::kafka::Cluster;
use rdkafka::ClientConfig;
use serde_json::{Value, json};

use crate::harness::Place;

/// See the module's documentation.
pub struct Bus {
    /// The log as the control role has it.
    pub control: KafkaLog,
    pub cluster: Cluster,
    nodes: u32,
    _one: MutexGuard<'static, ()>,
}

impl Bus {
    /// On a cluster of one node.
    pub fn start() -> Self {
        Self::of(1)
    }

    /// Waits for its turn and starts a cluster; the router's and the serving role's certificates are in force.
    pub fn of(nodes: u32) -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let cluster = Cluster::start_tls(nodes);
        let control = connect(&cluster, "kenh-control", nodes);
        let bus = Self { control, cluster, nodes, _one: one };
        for role in ["kenh-router", "kenh-serve"] {
            bus.admit(role);
        }
        bus
    }

    /// Puts the first certificate of a system in force.
    pub fn admit(&self, system: &str) {
        self.control.set_serials(&system.parse().unwrap(), &[Serial::FIRST].into()).unwrap();
        // Made here, and not by the first of several threads that ask for it.
        drop(self.cluster.identity(system, 1));
    }

    /// The log as a system has it that shows its certificate.
    pub fn connect(&self, system: &str) -> KafkaLog {
        connect(&self.cluster, system, self.nodes)
    }

    /// A client that others wrote, with the certificate of a system.
    pub fn client(&self, system: &str) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.cluster.bootstrap()).set("group.id", system);
        for (key, value) in self.cluster.identity(system, 1) {
            config.set(key, value);
        }
        config
    }

    /// A machine where `kenh` shows the certificate of a role, with more in its kenh.yaml. All have one master secret.
    pub fn machine(&self, role: &str, more: &Value) -> Place {
        let place = Place::new();
        let bootstrap = self.cluster.bootstrap();
        let mut config = json!({
            "kafka": {"bootstrap": bootstrap, "replication": self.nodes, "settings": self.cluster.identity(role, 1)},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            config[key] = value.clone();
        }
        // JSON is YAML.
        place.write("kenh.yaml", config.to_string());
        let secret = place.write("data/secret", "07".repeat(32));
        for (path, mode) in [(secret.parent().unwrap(), 0o700), (&secret, 0o600)] {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        place
    }

    /// What `kenh apply` does with files of declared state.
    pub fn apply(&self, paths: &[PathBuf]) -> Applied {
        let declared = kenh_governance::read(paths).unwrap_or_else(|p| panic!("{p:#?}"));
        let set = kenh_governance::load(&self.control).unwrap();
        let topics = self.control.topics().unwrap();
        let plan = kenh_governance::plan(&declared, &set, &topics, now_ms()).unwrap_or_else(|p| panic!("{p:#?}"));
        self.make_so(&plan)
    }

    /// Makes a plan so.
    pub fn make_so(&self, plan: &Plan) -> Applied {
        kenh_governance::apply(&self.control, plan, now_ms()).unwrap()
    }
}

fn connect(cluster: &Cluster, system: &str, nodes: u32) -> KafkaLog {
    let (bootstrap, settings) = (cluster.bootstrap().into(), cluster.identity(system, 1));
    KafkaLog::connect(Options { bootstrap, settings, replication: nodes.try_into().unwrap() }).unwrap()
}

/// The machine's clock.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// An agency's document, with its one system.
pub fn agency(name: &str) -> String {
    format!("kind: Agency\nname: {name}\ncode: {name}\ntitle: {name}\nsystems: [{}]\n", system(name))
}

/// The system of an agency.
pub fn system(agency: &str) -> String {
    format!("{}-portal", agency.to_lowercase())
}

/// As whom a system acts.
pub fn principal(agency: &str) -> Principal {
    system(agency).parse().unwrap()
}
