//! A router that starts when decisions and inputs are waiting for it: what was decided before an input was sent holds for it.
//!
//! So on a log that shows committed records only (the embedded one). On one that may show others to a reader that ignores
//! transactions, a new owner first decides again what the owner before may have decided, up to its bound, under the marker
//! that stood then; decisions come into force behind that (docs/adr/0004).

use crate::ground::Ground;
use crate::roles::{Bus, sent};
use crate::world::{ALL, Contract, grant, record};

mod embedded {
    use crate::ground::Ground;

    #[test]
    fn a_schema_released_before_an_input_holds_for_it_after_a_restart() {
        super::a_schema_released_before_an_input_holds_for_it_after_a_restart(&Ground::embedded);
    }

    #[test]
    fn an_epoch_raised_before_an_input_holds_for_it_after_a_restart() {
        super::an_epoch_raised_before_an_input_holds_for_it_after_a_restart(&Ground::embedded);
    }

    #[test]
    fn a_grant_ended_before_an_input_holds_for_it_after_a_restart() {
        super::a_grant_ended_before_an_input_holds_for_it_after_a_restart(&Ground::embedded);
    }
}

/// With something decided already, so that a later claim has something to look back on; then without a router.
fn down(ground: Ground) -> Bus {
    let mut bus = Bus::sample(ground, &Contract::default());
    bus.grant(&grant("tat-ca", "G12", ALL));
    bus.send(&[sent("a", 5, record("a", "An", "79", 0))]);
    bus.settle();
    bus.check();
    bus.crash_router();
    bus
}

fn a_schema_released_before_an_input_holds_for_it_after_a_restart(ground: &dyn Fn() -> Ground) {
    let mut bus = down(ground());
    bus.world.contract(&Contract { versions: 2, ..Contract::default() });
    bus.apply();
    let mut second = record("b", "Bình", "79", 0);
    second["Them"] = "mới".into();
    bus.send(&[sent("b", 1, second)]);
    bus.settle();
    bus.check();
}

fn an_epoch_raised_before_an_input_holds_for_it_after_a_restart(ground: &dyn Fn() -> Ground) {
    let mut bus = down(ground());
    bus.raise_epoch("G01", 1);
    bus.send(&[sent("a", 1, record("a", "Ân", "79", 1))]);
    bus.settle();
    bus.check();
}

fn a_grant_ended_before_an_input_holds_for_it_after_a_restart(ground: &dyn Fn() -> Ground) {
    let mut bus = down(ground());
    let topic = "view.G12.ho-so.main.1".parse().unwrap();
    let before = crate::check::records(bus.log(), &topic).len();
    bus.grant(&grant("tat-ca", "G12", ALL).ended());
    bus.send(&[sent("b", 1, record("b", "Bình", "79", 1))]);
    // Control waits, so that the topic stays to be looked at.
    while bus.turn_router(bus.ground.wait) != kenh_router::Turn::Idle {}
    assert_eq!(crate::check::records(bus.log(), &topic).len(), before, "written to after its end");
    bus.settle();
    bus.check();
}
