//! The attacks, one function each.

use std::collections::BTreeSet;
use std::pin::Pin;

use proto::v1::{self, CheckState, Decision};
use tonic::Code;

use super::attacker::{Attacker, is_refused};
use super::breach::Breach;

type Outcome<'a> = Pin<Box<dyn Future<Output = Result<(), Breach>> + 'a>>;
type Act = for<'a> fn(&'a mut Attacker) -> Outcome<'a>;

/// Name, property that must hold, and function of each attack.
pub(super) const ALL: [(&str, &str, Act); 17] = [
    ("never-attached", "who is not attached asks and reports nothing", |a| Box::pin(never_attached(a))),
    ("healthy", "what is reported as passing is not restarted", |a| Box::pin(healthy(a))),
    ("unreported", "what was never reported is not restarted", |a| Box::pin(unreported(a))),
    ("left-out", "what a full report leaves out is no evidence any more", |a| Box::pin(left_out(a))),
    ("blind", "who says that it is blind has no evidence", |a| Box::pin(blind(a))),
    ("report-only", "a check that is only to be reported restarts nothing", |a| Box::pin(report_only(a))),
    ("another's-check", "no restart is asked because of another monitor's check", |a| {
        Box::pin(anothers_check(a))
    }),
    ("hijack", "no report is taken of another monitor's check", |a| Box::pin(hijack(a))),
    ("other-incarnations", "a run that is gone, or still to come, is not restarted", |a| {
        Box::pin(other_incarnations(a))
    }),
    ("taken-over", "a session that was taken over has no say", |a| Box::pin(taken_over(a))),
    ("impersonation", "nobody attaches, reports or asks under the name of a managed monitor", |a| {
        Box::pin(impersonation(a))
    }),
    ("the-supervisor", "nobody speaks as the supervisor", |a| Box::pin(as_supervisor(a))),
    ("another-kind", "a monitor serves no kind that it is not configured with", |a| {
        Box::pin(another_kind(a))
    }),
    ("many-names", "names that no file has do not add up", |a| Box::pin(many_names(a))),
    ("oversized", "a field over its bound is refused, by its name", |a| Box::pin(oversized(a))),
    ("flood-of-asks", "a thousand repeats are a handful of events", |a| Box::pin(flood_of_asks(a))),
    ("flood-of-flips", "a thousand flips are taken, and restart nothing", |a| Box::pin(flood_of_flips(a))),
];

async fn never_attached(a: &mut Attacker) -> Result<(), Breach> {
    let (own, victim) = (a.args.own.clone(), a.args.victim.clone());
    for check in [&own, &victim] {
        is_refused(a.ask(a.ask_about(check)).await, Code::FailedPrecondition)?;
    }
    let report = a.report_of(vec![a.result(&own, CheckState::Failing)]);
    is_refused(a.report(report).await, Code::FailedPrecondition)
}

/// Attaches and reports its own checks in these states.
async fn reported(a: &mut Attacker, own: CheckState, told: CheckState) -> Result<(), Breach> {
    a.attach().await?;
    let results = vec![a.result(&a.args.own, own), a.result(&a.args.told, told)];
    Ok(a.report(a.report_of(results)).await?)
}

async fn healthy(a: &mut Attacker) -> Result<(), Breach> {
    reported(a, CheckState::Passing, CheckState::Passing).await?;
    a.is_decided(a.ask_about(&a.args.own), Decision::NoEvidence).await
}

async fn unreported(a: &mut Attacker) -> Result<(), Breach> {
    a.attach().await?;
    // An empty report replaces what an earlier session of this name reported.
    a.report(a.report_of(Vec::new())).await?;
    a.is_decided(a.ask_about(&a.args.own), Decision::NoEvidence).await
}

async fn left_out(a: &mut Attacker) -> Result<(), Breach> {
    reported(a, CheckState::Failing, CheckState::Passing).await?;
    let rest = vec![a.result(&a.args.told, CheckState::Passing)];
    a.report(a.report_of(rest)).await?;
    a.is_decided(a.ask_about(&a.args.own), Decision::NoEvidence).await
}

async fn blind(a: &mut Attacker) -> Result<(), Breach> {
    a.attach().await?;
    let mut report = a.report_of(vec![a.result(&a.args.own, CheckState::Failing)]);
    (report.blind, report.blind_reason) = (true, "was suspended".into());
    a.report(report).await?;
    let decided = a.is_decided(a.ask_about(&a.args.own), Decision::NoEvidence).await;
    reported(a, CheckState::Passing, CheckState::Passing).await?;
    decided
}

async fn report_only(a: &mut Attacker) -> Result<(), Breach> {
    reported(a, CheckState::Passing, CheckState::Failing).await?;
    let decided = a.is_decided(a.ask_about(&a.args.told), Decision::ReportOnly).await;
    reported(a, CheckState::Passing, CheckState::Passing).await?;
    decided
}

async fn anothers_check(a: &mut Attacker) -> Result<(), Breach> {
    reported(a, CheckState::Passing, CheckState::Passing).await?;
    is_refused(a.ask(a.ask_about(&a.args.victim)).await, Code::PermissionDenied)
}

async fn hijack(a: &mut Attacker) -> Result<(), Breach> {
    a.attach().await?;
    let stolen = a.report_of(vec![a.result(&a.args.victim, CheckState::Failing)]);
    is_refused(a.report(stolen).await, Code::PermissionDenied)
}

async fn other_incarnations(a: &mut Attacker) -> Result<(), Breach> {
    reported(a, CheckState::Passing, CheckState::Passing).await?;
    for incarnation in [0, a.incarnation.wrapping_sub(1), a.incarnation + 1, u64::MAX] {
        let ask = v1::RequestRestartRequest { incarnation, ..a.ask_about(&a.args.own) };
        a.is_decided(ask, Decision::Stale).await?;
        let result = v1::CheckResult { incarnation, ..a.result(&a.args.own, CheckState::Failing) };
        a.report(a.report_of(vec![result])).await?;
        a.is_decided(a.ask_about(&a.args.own), Decision::NoEvidence).await?;
    }
    Ok(())
}

async fn taken_over(a: &mut Attacker) -> Result<(), Breach> {
    reported(a, CheckState::Passing, CheckState::Passing).await?;
    let mut newer = a.again();
    newer.attach().await?;
    let ended = a.stream_ends().await.map(|status| status.code());
    if ended != Some(Code::Aborted) {
        return Err(Breach::StreamEnd(ended));
    }
    is_refused(a.ask(a.ask_about(&a.args.own)).await, Code::FailedPrecondition)?;
    let report = a.report_of(vec![a.result(&a.args.own, CheckState::Failing)]);
    is_refused(a.report(report).await, Code::FailedPrecondition)
}

async fn impersonation(a: &mut Attacker) -> Result<(), Breach> {
    for (monitor, kind) in [("port-monitor", "tcp"), ("health-monitor", "http"), ("health-monitor", "exec")] {
        let hello = v1::WatchTargetsRequest { monitor: monitor.into(), kind: kind.into(), ..a.hello() };
        is_refused(a.watch(hello).await, Code::PermissionDenied)?;
        let ask = v1::RequestRestartRequest { monitor: monitor.into(), ..a.ask_about(&a.args.victim) };
        is_refused(a.ask(ask).await, Code::PermissionDenied)?;
        let result = a.result(&a.args.victim, CheckState::Failing);
        let report = v1::ReportHealthRequest { monitor: monitor.into(), ..a.report_of(vec![result]) };
        is_refused(a.report(report).await, Code::PermissionDenied)?;
    }
    Ok(())
}

async fn as_supervisor(a: &mut Attacker) -> Result<(), Breach> {
    let hello = v1::WatchTargetsRequest { monitor: "supervisor".into(), ..a.hello() };
    is_refused(a.watch(hello).await, Code::PermissionDenied)
}

async fn another_kind(a: &mut Attacker) -> Result<(), Breach> {
    for kind in ["tcp", "http", "exec", "nothing"] {
        let hello = v1::WatchTargetsRequest { kind: kind.into(), ..a.hello() };
        is_refused(a.watch(hello).await, Code::InvalidArgument)?;
    }
    Ok(())
}

async fn many_names(a: &mut Attacker) -> Result<(), Breach> {
    let mut open = Vec::new();
    for number in 0..50 {
        let hello = v1::WatchTargetsRequest { monitor: format!("nobody-{number}"), ..a.hello() };
        match a.watch(hello).await {
            Ok(stream) => open.push(stream),
            Err(status) if matches!(status.code(), Code::PermissionDenied | Code::ResourceExhausted) => {}
            Err(status) => return Err(status.into()),
        }
    }
    if open.len() > 16 { Err(Breach::Names(open.len())) } else { Ok(()) }
}

async fn oversized(a: &mut Attacker) -> Result<(), Breach> {
    const HUGE: usize = 3 * 1024 * 1024;
    let huge = || "x".repeat(HUGE);
    a.attach().await?;
    let report = a.report_of(vec![a.result(&a.args.own, CheckState::Passing)]);
    let with = |change: &dyn Fn(&mut v1::CheckResult)| {
        let mut report = report.clone();
        report.results.iter_mut().for_each(change);
        report
    };
    let reports = [
        ("blind_reason", v1::ReportHealthRequest { blind: true, blind_reason: huge(), ..report.clone() }),
        ("session", v1::ReportHealthRequest { session: huge(), ..report.clone() }),
        ("monitor", v1::ReportHealthRequest { monitor: huge(), ..report.clone() }),
        ("results.detail", with(&|result| result.detail = huge())),
        ("results.service", with(&|result| result.service = huge())),
        ("results.check", with(&|result| result.check = huge())),
        (
            "results",
            v1::ReportHealthRequest { results: vec![v1::CheckResult::default(); 20_001], ..report.clone() },
        ),
    ];
    for (field, report) in reports {
        names_the_field(a.report(report).await, field)?;
    }
    let ask = a.ask_about(&a.args.own);
    let evidence = ask.evidence.clone().unwrap_or_default();
    let asks = [
        ("evidence.summary", v1::Evidence { summary: huge(), ..evidence.clone() }),
        ("evidence.body_head", v1::Evidence { body_head: vec![b'x'; HUGE], ..evidence.clone() }),
        ("evidence.errno", v1::Evidence { errno: huge(), ..evidence.clone() }),
        ("evidence.owner_command", v1::Evidence { owner_command: huge(), ..evidence }),
    ];
    for (field, evidence) in asks {
        let ask = v1::RequestRestartRequest { evidence: Some(evidence), ..ask.clone() };
        names_the_field(a.ask(ask).await, field)?;
    }
    for field in ["kind", "endpoint", "version"] {
        let mut hello = a.hello();
        *match field {
            "kind" => &mut hello.kind,
            "endpoint" => &mut hello.endpoint,
            _ => &mut hello.version,
        } = huge();
        names_the_field(a.watch(hello).await, field)?;
    }
    Ok(())
}

fn names_the_field<T>(answer: Result<T, tonic::Status>, field: &str) -> Result<(), Breach> {
    match answer {
        Err(status) if status.message().starts_with(&format!("{field}: ")) => {
            is_refused(Err::<T, _>(status), Code::InvalidArgument)
        }
        Err(status) => Err(status.into()),
        Ok(_) => Err(Breach::Taken(field.into())),
    }
}

async fn flood_of_asks(a: &mut Attacker) -> Result<(), Breach> {
    reported(a, CheckState::Passing, CheckState::Passing).await?;
    let mut events = BTreeSet::new();
    for number in 0..1_000 {
        let incarnation = if number % 2 == 0 { a.incarnation + 7 } else { a.incarnation };
        let ask = v1::RequestRestartRequest { incarnation, ..a.ask_about(&a.args.own) };
        events.insert(a.ask(ask).await?.seq);
    }
    if events.len() > 250 { Err(Breach::Events(events.len())) } else { Ok(()) }
}

async fn flood_of_flips(a: &mut Attacker) -> Result<(), Breach> {
    a.attach().await?;
    for number in 0..1_000 {
        let state = if number % 2 == 0 { CheckState::Failing } else { CheckState::Passing };
        let result = v1::CheckResult { failures: 0, ..a.result(&a.args.told, state) };
        a.report(a.report_of(vec![a.result(&a.args.own, CheckState::Passing), result])).await?;
    }
    Ok(())
}
