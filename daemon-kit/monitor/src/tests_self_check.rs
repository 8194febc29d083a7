//! Tests of the self-check: what a monitor discards, that it says so, and that it recovers.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_monitor_that_was_away_throws_away_what_it_measured() {
    let mut scene = Scene::with(wire("web", "port")).await;
    scene.look().await.pass();
    for failures in 1..=2 {
        scene.look().await.fail();
        scene.shows_failures(failures).await;
    }
    let look = scene.look().await;
    advance(S * 60).await;
    look.fail();
    scene.shows(|board| board.blind.is_some()).await;
    assert_eq!(scene.view().failures, 2, "the third is not counted");
    let again = Instant::now();
    let look = scene.look().await;
    assert!(look.at - again <= S, "it looks again soon");
    look.fail();
    scene.shows(|board| board.blind.is_none()).await;
    assert_eq!((scene.view().state, scene.view().failures), (State::Passing, 1), "and counts anew");

    // Stopped between two checks: nothing was measured, but later results can not be added to earlier ones.
    advance(S * 3600).await;
    scene.shows(|board| board.blind.is_some()).await;
    scene.look().await.pass();
    scene.shows(|board| board.blind.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn its_own_trouble_is_no_failure() {
    let mut scene = Scene::with(wire("web", "port")).await;
    scene.look().await.pass();
    for _ in 0..5 {
        let error = std::io::Error::from_raw_os_error(24);
        let look = scene.look().await;
        look.answer(Verdict { own_trouble: Some(error.to_string()), ..Verdict::failing("x") });
        scene.shows(|board| board.blind.is_some()).await;
    }
    assert_eq!((scene.view().state, scene.view().failures), (State::Passing, 0));
}

#[tokio::test(start_paused = true)]
async fn what_one_target_notices_holds_for_all() {
    let mut scene = Scene::with(wire("web", "port")).await;
    scene
        .set(vec![
            wire("web", "port"),
            v1::Target { interval: Some(to_wire(S * 3600)), ..wire("api", "port") },
        ])
        .await;
    let failures = |board: &Snapshot| board.rows.iter().map(|row| row.view.failures).collect::<Vec<_>>();
    let api = scene.registry.check_now("api".into(), String::new()).await.expect("a target").remove(0);
    let of_api = |look: &Look| look.service == "api";
    loop {
        let look = scene.look().await;
        let done = of_api(&look);
        look.fail();
        if done {
            break;
        }
    }
    assert_eq!(api.coming.expect("a check comes").await.expect("kept").failures, 1);
    // `api` waits for its next check, far away; only `web` can notice the gap.
    let look = loop {
        let look = scene.look().await;
        if !of_api(&look) {
            break look;
        }
        look.fail();
    };
    advance(S * 30).await;
    look.fail();
    scene.shows(|board| board.blind.is_some()).await;
    let again = scene.registry.check_now("api".into(), String::new()).await.expect("a target").remove(0);
    loop {
        let look = scene.look().await;
        let done = of_api(&look);
        look.fail();
        if done {
            break;
        }
    }
    let seen = again.coming.expect("a check comes").await.expect("kept");
    assert_eq!(seen.failures, 1, "counted anew, {:?}", failures(&scene.board.borrow()));
}

#[tokio::test(start_paused = true)]
async fn a_time_out_of_its_own_making_is_no_failure() {
    let mut scene = Scene::with(wire("web", "port")).await;
    scene.look().await.pass();
    for _ in 0..5 {
        let _look = scene.look().await;
        // Starved for 0.7 s of the 1 s that the answer may take.
        advance(MS * 700).await;
        scene.shows(|board| board.blind.as_ref().is_some_and(|why| why.contains("its own event loop"))).await;
        assert_eq!((scene.view().state, scene.view().failures), (State::Passing, 0));
        scene.look().await.pass();
        scene.shows(|board| board.blind.is_none()).await;
    }
    // An answer that arrives late is still an answer: a refusal counts as a failure.
    let look = scene.look().await;
    advance(MS * 700).await;
    look.fail();
    scene.shows_failures(1).await;
}

#[tokio::test(start_paused = true)]
async fn while_the_canary_is_down_nothing_counts() {
    let mut scene = Scene::with(wire("web", "port")).await;
    scene.look().await.pass();
    scene.canary.send_replace(Some("its loopback canary failed: network is down".into()));
    for _ in 0..5 {
        scene.look().await.fail();
        scene.shows(|board| board.blind.as_ref().is_some_and(|why| why.contains("canary"))).await;
    }
    assert_eq!((scene.view().state, scene.view().asks), (State::Passing, 0));
    scene.canary.send_replace(None);
    for _ in 0..3 {
        scene.look().await.fail();
    }
    scene.shows(|board| board.blind.is_none() && board.rows[0].view.state == State::Failing).await;
    assert_eq!(scene.view().asks, 1, "a real fault is asked for as soon as it sees again");
}

#[tokio::test(start_paused = true)]
async fn a_gap_is_noticed_whatever_wakes_it_first() {
    let mut scene = Scene::with(wire("web", "port")).await;
    for failures in 1..=2 {
        scene.look().await.fail();
        scene.shows_failures(failures).await;
    }
    // The supervisor's newest set waited while this process was stopped, and is handled before the timer.
    scene.set(vec![v1::Target { starting: true, ..wire("web", "port") }]).await;
    scene.look().await.fail();
    scene.shows_failures(3).await;
    advance(S * 60).await;
    scene.set(vec![wire("web", "port")]).await;
    scene.shows(|board| board.blind.is_some()).await;
    scene.look().await.fail();
    scene.shows_failures(1).await;
}

#[tokio::test(start_paused = true)]
async fn a_check_that_this_host_hinders_is_unknown_and_counts_for_nothing() {
    let mut scene = Scene::with(wire("web", "port")).await;
    scene.look().await.pass();
    let no_port = || Verdict::of_error(&std::io::ErrorKind::AddrNotAvailable.into());
    for _ in 0..5 {
        scene.look().await.answer(no_port());
        scene.shows(|board| board.rows[0].view.state == State::Unknown).await;
        assert!(scene.view().verdict.detail.starts_with("not checked: EADDRNOTAVAIL"), "{:?}", scene.view());
    }
    assert_eq!((scene.view().failures, scene.view().asks), (0, 0));
    scene.look().await.fail();
    scene.shows_failures(1).await;
    scene.look().await.pass();
    scene.shows(|board| board.blind.is_none() && board.rows[0].view.state == State::Passing).await;

    // Where the monitor's own connections fail too, it says so for all.
    scene.canary.send_replace(Some("its loopback canary failed".into()));
    scene.look().await.answer(no_port());
    scene.shows(|board| board.blind.is_some()).await;
    assert_eq!(scene.view().state, State::Passing);
}
