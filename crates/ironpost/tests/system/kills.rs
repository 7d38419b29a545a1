//! SIGKILL at random moments: what was acknowledged is delivered.

use crate::house::{House, kill, until};
use std::time::Duration;

#[test]
fn kills_at_random_moments_lose_nothing_that_was_acknowledged() {
    let rounds: u64 =
        std::env::var("IRONPOST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let mut house = House::new();
    let mut acknowledged = Vec::new();
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for round in 0..rounds {
        let mut session = None;
        for number in 0..30 {
            if number == 15 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let processes = house.processes();
                let at = usize::try_from(random >> 33).unwrap() % (processes.len() + 1);
                if let Some((pid, _)) = processes.get(at) {
                    kill("KILL", u32::try_from(*pid).unwrap());
                } else {
                    // Master, and so everybody.
                    drop(house.server.as_mut().unwrap().kill());
                    drop(house.server.take().unwrap().wait());
                    house.start();
                }
            }
            let name = format!("{round}-{number}");
            let open = session.take().or_else(|| house.talk());
            let sent = open.and_then(|mut open| {
                let is_taken = open.send(&name, &format!("user{}", number % 3))?;
                session = Some(open);
                Some(is_taken)
            });
            if sent == Some(true) {
                acknowledged.push(name);
            } else {
                // As a client would: a moment later somebody may be there again.
                std::thread::sleep(Duration::from_millis(30));
            }
        }
    }
    assert!(acknowledged.len() > usize::try_from(rounds).unwrap() * 10, "{}", acknowledged.len());
    // A start brings everything that waits for a retry back at once.
    drop(house.run(&["queue", "flush"], ""));
    let is_whole = |house: &House| {
        drop(house.run(&["queue", "flush"], ""));
        let letters = house.letters();
        acknowledged.iter().all(|name| letters.contains_key(name))
    };
    until("every acknowledged letter", || is_whole(&house));
    let twice = house.letters().values().filter(|&&count| count > 1).count();
    assert!(twice <= usize::try_from(rounds).unwrap() * 20, "{twice} letters came twice");
}
