//! Copies in a real PostgreSQL, from the command line: reform day counted by SQL, what an agency's own role may do, a
//! server that dies under a running node, one without room, what doctor finds, and what is never said. A database a test; `scripts/postgres` starts the server.

use std::fs;
use std::process::Command;

use kenh_testkit::disk::SmallDisk;
use kenh_testkit::postgres::Cluster;
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};
use serde_json::{Value, json};

use crate::bad_input::person;
use crate::full_disk;
use crate::harness::{Place, Said, Up, finish, repository, until};

const PEOPLE: &str = "dan-cu";

/// A database of its own on a server, and what commands are told of it.
struct Database<'a> {
    server: &'a Cluster,
    name: &'static str,
    place: Place,
}

impl<'a> Database<'a> {
    fn new(server: &'a Cluster, name: &'static str, place: Place) -> Self {
        place.write("password", server.password().to_owned() + "\n");
        let database = Self { server, name, place };
        database.superuser("postgres").batch_execute(&format!("CREATE DATABASE {name} OWNER kenh")).unwrap();
        database
    }

    fn url(&self) -> String {
        let (server, _) = self.server.url().rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }

    fn as_role(&self, role: &str, password: &str) -> Client {
        let url = self.url().replace("kenh@", &format!("{role}@"));
        url.parse::<Config>().unwrap().password(password).connect(NoTls).unwrap()
    }

    fn superuser(&self, database: &str) -> Client {
        let (server, _) = self.server.url().rsplit_once('/').unwrap();
        let url = format!("{server}/{database}").replace("kenh@", "postgres@");
        url.parse::<Config>().unwrap().password(self.server.password()).connect(NoTls).unwrap()
    }

    /// As the owner of the tables.
    fn sql(&self) -> Client {
        self.as_role("kenh", self.server.password())
    }

    fn tell(&self, command: &mut Command) {
        command.env("KENH_POSTGRES", self.url()).env("KENH_POSTGRES_PASSWORD", "env:ITS_PASSWORD");
        command.env("ITS_PASSWORD", self.server.password());
    }

    fn kenh(&self, args: &[&str]) -> Said {
        let mut command = self.place.command(args);
        self.tell(&mut command);
        finish(command, b"")
    }

    fn demo(&self, more: &[&str]) -> Said {
        let args = ["demo", "--once", "--store", "postgres", "--citizens", "300"];
        let mut command = self.place.command(args.iter().chain(more));
        self.tell(&mut command);
        command.current_dir(repository());
        finish(command, b"")
    }

    /// A node that keeps H29 in PostgreSQL and G01 in sled.
    fn up(&self) -> Up<'_> {
        Up::start_with(&self.place, &[], |up| {
            let copies = "copies:\n  - agency: H29\n    store: postgres\n  - agency: G01\n";
            self.place
                .write("kenh.yaml", format!("{copies}postgres:\n  url: {}\n  password: file:password\n", self.url()));
            up.env("KENH_LOG", "trace,sled::tree=trace,tokio_postgres::query=trace");
        })
    }

    /// Submits the people of these numbers.
    fn produce(&self, numbers: std::ops::RangeInclusive<u32>) {
        let lines: String = numbers.map(|n| person(n).to_string() + "\n").collect();
        self.place.write("people.jsonl", lines);
        self.place.kenh(["produce", PEOPLE, "--from", "people.jsonl"]).ok();
    }
}

/// The one row of a query.
fn one<T: for<'a> postgres::types::FromSql<'a>>(sql: &mut Client, query: &str) -> T {
    sql.query_one(query, &[]).unwrap().get(0)
}

/// Numbers as floats: one says 15, the other 15.0.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(n) => n.as_f64().into(),
        Value::Array(all) => all.into_iter().map(plain).collect(),
        Value::Object(all) => Value::Object(all.into_iter().map(|(name, value)| (name, plain(value))).collect()),
        other => other,
    }
}

#[test]
fn reform_day_is_counted_by_sql_and_every_row_is_as_exported_and_a_second_run_changes_nothing() {
    let database = Database::new(Cluster::shared(), "reform", Place::new());
    let first = database.demo(&["--output", "json"]).ok().json();
    let views = first["views"].as_array().unwrap();
    assert_eq!(views.len(), 7, "{first}");
    let mut sql = database.sql();
    for (agency, rows, inserted, updated, left) in
        [("g01", 14_149, 14_149, 10_794, 0), ("h29", 169, 465, 0, 296), ("g12", 3_355, 14_149, 0, 10_794)]
    {
        let count = format!("SELECT count(*) FROM kenh_{agency}.don_vi_hanh_chinh");
        assert_eq!(one::<i64>(&mut sql, &count), rows, "{agency}");
        let counters = format!(
            r#"SELECT concat_ws(' ', "rows", "inserted", "updated", "left") FROM kenh_{agency}.kenh_copies
               WHERE "dataset" = 'don-vi-hanh-chinh'"#
        );
        assert_eq!(one::<String>(&mut sql, &counters), format!("{rows} {inserted} {updated} {left}"), "{agency}");
    }
    let mut seen = 0;
    for view in views {
        let (agency, dataset) = (view["recipient"].as_str().unwrap(), view["dataset"].as_str().unwrap());
        let table = format!("kenh_{}.{}", agency.to_lowercase(), dataset.replace('-', "_"));
        let query = format!(
            "SELECT (to_jsonb(t) - '{{_kenh_key,_kenh_value,_kenh_unshown}}'::text[])::text FROM {table} t \
             ORDER BY _kenh_key"
        );
        let by_sql = sql.query(&query, &[]).unwrap();
        let by_sql: Vec<Value> =
            by_sql.iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).map(plain).collect();
        let exported = database.kenh(&["view", "export", agency, dataset]).ok().stdout;
        let exported: Vec<Value> =
            exported.lines().map(|line| serde_json::from_str(line).unwrap()).map(plain).collect();
        assert_eq!(view["rows"], by_sql.len(), "{table}");
        assert!(by_sql == exported, "{table}: SQL and the export differ");
        let digest = database.kenh(&["view", "digest", agency, dataset, "--output", "json"]).ok().json();
        assert_eq!(digest["digest"], view["digest"], "{table}");
        let unshown = format!("SELECT count(*) FROM {table} WHERE _kenh_unshown IS NOT NULL");
        assert_eq!(one::<i64>(&mut sql, &unshown), 0, "{table}");
        seen += by_sql.len();
    }
    assert!(seen > 3 * 300, "{seen}");

    let said = database.demo(&[]).ok().prints("psql postgresql://kenh@127.0.0.1").prints("10,794 stale");
    assert!(said.stdout.contains("PGPASSWORD=$ITS_PASSWORD psql"), "{}", said.stdout);
    let again = database.demo(&["--output", "json"]).ok().json();
    assert_eq!(again["views"], first["views"], "a second run moved a view");
    for (dataset, counts) in again["submitted"].as_object().unwrap() {
        assert_eq!((&counts["admitted"], &counts["rejected"]), (&json!(0), &json!(0)), "{dataset}");
    }
}

#[test]
fn an_agencys_role_selects_and_does_nothing_else_and_keeps_its_right_over_a_swap() {
    let database = Database::new(Cluster::shared(), "vai_tro", Place::for_people());
    database.produce(1..=20);
    let subscribed = database.kenh(&["subscribe", "H29", "--once", "--store", "postgres", "--output", "json"]).ok();
    let people = subscribed.json().as_array().unwrap().iter().find(|c| c["dataset"] == PEOPLE).unwrap().clone();
    assert_eq!((&people["rows"], &people["complete"]), (&json!(20), &json!(true)));
    database
        .superuser(database.name)
        .batch_execute(
            "CREATE ROLE phan_tich LOGIN PASSWORD 'chi-doc'; GRANT USAGE ON SCHEMA kenh_h29 TO phan_tich;
             GRANT SELECT ON ALL TABLES IN SCHEMA kenh_h29 TO phan_tich",
        )
        .unwrap();
    let mut reader = database.as_role("phan_tich", "chi-doc");
    assert_eq!(one::<i64>(&mut reader, "SELECT count(*) FROM kenh_h29.dan_cu"), 20);
    assert_eq!(one::<i64>(&mut reader, r#"SELECT "rows" FROM kenh_h29.kenh_copies WHERE "dataset" = 'dan-cu'"#), 20);
    for refused in [
        "DELETE FROM kenh_h29.dan_cu",
        r#"UPDATE kenh_h29.dan_cu SET "SoDinhDanh" = 'x'"#,
        "INSERT INTO kenh_h29.dan_cu SELECT * FROM kenh_h29.dan_cu",
        "TRUNCATE kenh_h29.dan_cu",
        "DROP TABLE kenh_h29.dan_cu",
        "CREATE TABLE kenh_h29.rieng ()",
        "SELECT card FROM kenh_h29_internal.generations",
        "SELECT note FROM kenh_h29_internal.notes",
    ] {
        let error = reader.batch_execute(refused).unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{refused}: {error}");
    }
    // A wider grant: another edition is filled, takes the table's place, and the right stays.
    let edition = r#"SELECT "edition" FROM kenh_h29.kenh_copies WHERE "dataset" = 'dan-cu'"#;
    let had: i64 = one(&mut reader, edition);
    database.place.edit("broker-config/grants/h29-dan-cu.yaml", "  - GioiTinh\n", "  - GioiTinh\n  - DanToc\n");
    database.place.kenh(["apply", "schemas", "broker-config"]).ok();
    until("the new edition in SQL", || {
        database.kenh(&["subscribe", "H29", "--once", "--store", "postgres"]).ok();
        (one::<i64>(&mut reader, edition) == had + 1).then_some(())
    });
    assert_eq!(one::<i64>(&mut reader, r#"SELECT count("DanToc") FROM kenh_h29.dan_cu"#), 20);
}

#[test]
fn a_server_that_dies_is_waited_for_and_nothing_is_lost_or_counted_twice_or_said() {
    let server = Cluster::start();
    let database = Database::new(&server, "chet", Place::for_people());
    let up = database.up();
    database.produce(1..=10);
    up.await_rows("H29", PEOPLE, 10);
    for round in 1..=2 {
        server.kill();
        // Nothing is on its way: it finds out by itself, and says so.
        let said = until("the node to miss its server", || {
            let ready = up.get("/health/ready");
            (ready.status == 503).then(|| ready.text())
        });
        assert!(said.contains("copies of H29") && said.contains("PostgreSQL"), "{said}");
        assert!(up.get("/metrics").text().contains("\nkenh_ready 0\n"));
        // The others go on.
        database.produce(round * 10 + 1..=round * 10 + 10);
        let rows = u64::from(round) * 10 + 10;
        up.await_rows("G01", PEOPLE, rows);
        let ask = json!({ "keys": ["079085000001"] });
        assert_eq!(up.post(&format!("/v1/views/H29/{PEOPLE}/lookup"), &ask).status, 500);
        server.restart();
        up.await_rows("H29", PEOPLE, rows);
        until("the node to be ready again", || (up.get("/health/ready").status == 200).then_some(()));
        assert_eq!(up.post(&format!("/v1/views/H29/{PEOPLE}/lookup"), &ask).status, 200);
        let counts: String = one(
            &mut database.sql(),
            r#"SELECT concat_ws(' ', (SELECT count(*) FROM kenh_h29.dan_cu), "rows", "inserted", "updated", "left")
               FROM kenh_h29.kenh_copies WHERE "dataset" = 'dan-cu'"#,
        );
        assert_eq!(counts, format!("{rows} {rows} {rows} 0 0"), "round {round}");
    }
    // Read beside the writer, from another process.
    let beside = database.kenh(&["view", "digest", "H29", PEOPLE, "--store", "postgres", "--output", "json"]).ok();
    let through = database.kenh(&["view", "digest", "H29", PEOPLE, "--output", "json"]).ok();
    assert_eq!((&beside.json()["digest"], &beside.json()["rows"]), (&through.json()["digest"], &json!(30)));
    // There is one writer.
    database.kenh(&["subscribe", "H29", "--once", "--store", "postgres"]).exits(1).complains("in use by another");
    let logged = up.stop();
    assert!(
        logged.contains("subscriber cannot go on") && logged.contains("TRACE") && logged.lines().count() > 100,
        "{logged}"
    );
    // Keys also as a client of PostgreSQL would log them: bytes, one by one.
    let bytes: Vec<String> = b"079085".iter().map(u8::to_string).collect();
    for secret in ["079085", &bytes.join(", "), "Nguyễn Văn An", "0912345678", server.password()] {
        let line = logged.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} is in the log: {}", line.unwrap_or_default());
    }
}

/// Its log on one disk, as is usual, and the copies on another, which is full: PostgreSQL refuses what needs room. (One
/// whose log has no room ends itself, and is a server that dies.)
#[test]
fn a_server_without_room_is_waited_for() {
    let disk = SmallDisk::of_postgres(64);
    let server = Cluster::start();
    let database = Database::new(&server, "day", Place::for_people());
    let place = disk.path().display();
    database.superuser("postgres").batch_execute(&format!("CREATE TABLESPACE nho LOCATION '{place}'")).unwrap();
    database.superuser("postgres").batch_execute("ALTER DATABASE day SET TABLESPACE nho").unwrap();
    let up = database.up();
    full_disk::is_waited_for(&disk, &database.place, &up, "53100");
    up.stop();
}

/// Each thing that doctor looks at, as it should be and not.
#[test]
fn doctor_looks_at_the_server() {
    let database = Database::new(Cluster::shared(), "kham", Place::with_shipped_applied());
    database.place.write("kenh.yaml", "copies:\n  - agency: H29\n    store: postgres\n");
    let doctor = |url: &str, password: &str, code: i32| {
        let mut command = database.place.command(["doctor", "--output", "json"]);
        command.env("KENH_POSTGRES", url).env("KENH_POSTGRES_PASSWORD", "env:ITS").env("ITS", password);
        let lines = finish(command, b"").exits(code).json();
        let lines = lines.as_array().unwrap().iter().filter(|l| l["check"].as_str().unwrap().contains("PostgreSQL"));
        let line = |l: &Value| {
            let text = |name: &str| l[name].as_str().unwrap().to_owned();
            (text("verdict"), text("found"), text("whatToDo"))
        };
        lines.map(line).collect::<Vec<_>>()
    };
    let (url, password) = (database.url(), database.server.password());
    let verdicts = |lines: &[(String, String, String)]| -> Vec<String> { lines.iter().map(|l| l.0.clone()).collect() };
    let good = doctor(&url, password, 0);
    assert_eq!(verdicts(&good), ["green"; 4], "{good:?}");
    assert!(good[0].1.starts_with("PostgreSQL 1") && good[0].1.ends_with("on this machine"), "{good:?}");

    // It only looks: there is nothing for a stranger to use, and he may make nothing.
    let mut owner = database.superuser("postgres");
    owner.batch_execute("CREATE ROLE khach LOGIN PASSWORD 'khach'").unwrap();
    let stranger = url.replace("kenh@", "khach@");
    let lines = doctor(&stranger, "khach", 1);
    assert_eq!(verdicts(&lines), ["green", "green", "green", "red"], "{lines:?}");
    assert!(lines[3].2.ends_with("GRANT CREATE ON DATABASE kham TO khach"), "{lines:?}");
    owner.batch_execute("GRANT CREATE ON DATABASE kham TO khach").unwrap();
    assert_eq!(verdicts(&doctor(&stranger, "khach", 0)), ["green"; 4]);
    // The schemas are there, and another's.
    database.kenh(&["subscribe", "H29", "--once", "--store", "postgres"]).ok();
    let lines = doctor(&stranger, "khach", 1);
    assert!(lines[3].2.ends_with("GRANT USAGE, CREATE ON SCHEMA kenh_h29 TO khach"), "{lines:?}");
    // Their owner needs no right to make more.
    owner.batch_execute("ALTER DATABASE kham OWNER TO postgres").unwrap();
    assert_eq!(verdicts(&doctor(&url, password, 0)), ["green"; 4]);

    let ascii = "CREATE DATABASE kham_ascii OWNER kenh ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0";
    owner.batch_execute(ascii).unwrap();
    let lines = doctor(&url.replace("/kham", "/kham_ascii"), password, 1);
    assert_eq!(verdicts(&lines), ["green", "red", "green", "green"], "{lines:?}");
    assert!(lines[1].2.contains("not in UTF8"), "{lines:?}");

    let lines = doctor(&url, "sai", 1);
    assert_eq!(verdicts(&lines), ["red"], "{lines:?}");
    assert!(lines[0].1.contains("28P01") && lines[0].2.contains("docs/postgres.md"), "{lines:?}");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let lines = doctor(&format!("postgresql://kenh@{nobody}/kham"), password, 1);
    assert!(lines.len() == 1 && lines[0].1.contains("Connection refused"), "{lines:?}");
    // Beyond this machine it is spoken to over TLS or not at all.
    let lines = doctor(&format!("{url}?sslmode=require"), password, 1);
    assert!(lines.len() == 1 && lines[0].1.contains("does not support TLS"), "{lines:?}");
}

#[test]
fn a_wrong_server_is_refused_with_what_to_do_and_without_a_password() {
    let database = Database::new(Cluster::shared(), "sai", Place::with_shipped_applied());
    let place = &database.place;
    let args = ["subscribe", "H29", "--once", "--store", "postgres"];
    let with = |url: &str, password: &str| {
        let mut command = place.command(args);
        command.env("KENH_POSTGRES", url).env("KENH_POSTGRES_PASSWORD", password).env("KENH_LOG", "trace");
        command.env("WRONG", "bi-mat-sai");
        let said = finish(command, b"");
        assert!(!said.stderr.contains("bi-mat"), "{}", said.stderr);
        said
    };
    place.kenh(args).exits(2).complains("postgres.url").complains("scripts/postgres up");
    place.kenh(["view", "list", "H29", PEOPLE, "--store", "postgres"]).exits(2).complains("KENH_POSTGRES");
    place.kenh(["demo", "--once", "--store", "postgres"]).exits(2).complains("KENH_POSTGRES");
    let url = database.url();
    with(&url, "bi-mat-sai").exits(2).complains("postgres.password").complains("file:PATH or env:NAME");
    with(&url, "file:nowhere").exits(2).complains("nowhere cannot be read");
    with(&url.replace("kenh@", "kenh:bi-mat@"), "env:WRONG").exits(2).complains("holds a password");
    let plain = url.replace("127.0.0.1", "10.0.0.1") + "?sslmode=disable";
    with(&plain, "env:WRONG").exits(2).complains("not spoken to without TLS");
    // A server that knows no TLS is not spoken to without, where it is asked for.
    with(&(url.clone() + "?sslmode=require"), "env:WRONG").exits(1).complains("does not support TLS");
    with("bi-mat", "env:WRONG").exits(2).complains("postgresql://user@host:port/database");
    with(&url, "env:WRONG").exits(1).complains("28P01");
    with(&url.replace("/sai", "/khong_co"), "file:password").exits(1).complains("3D000").complains("khong_co");
    // A port that nobody listens on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgresql://kenh@{nobody}/kenh");
    with(&url, "file:password").exits(1).complains("Connection refused").complains("start it");
    // None of it made anything, and there is nothing to look at.
    database.kenh(&["view", "list", "H29", PEOPLE]).exits(1).complains("kenh subscribe H29 --once");
    let schemas: i64 = one(&mut database.sql(), "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'kenh%'");
    assert_eq!(schemas, 0);
    assert!(fs::exists(place.path("data")).unwrap());
}
