//! The HTML page of the service: the process that serves it, and links to break it.

use super::breaks::Break;

/// Returns the page of a service.
pub(super) fn of(name: &str) -> String {
    let unit = std::env::var("SERENO_UNIT").unwrap_or_default();
    render(name, std::process::id(), incarnation(&unit))
}

fn render(name: &str, pid: u32, incarnation: Option<&str>) -> String {
    let name = escape(name);
    let incarnation = incarnation.map_or_else(
        || "not supervised".into(),
        |number| format!("incarnation <b>{}</b> under Sereno's supervisor", escape(number)),
    );
    let link = |way: Break| {
        let path = way.name();
        format!("<li><a href=\"/break/{path}\">{path}</a><br><small>{}</small></li>\n", way.healed_by())
    };
    let links: String = Break::offered().into_iter().map(link).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title>\n\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:44em;margin:3em auto;padding:0 1em}}\
         li{{margin:.6em 0}}small{{color:#666}}</style>\n\
         <h1>{name}</h1>\n<p>Served by process <b>{pid}</b>, {incarnation}.</p>\n\
         <p>Break it, come back here a few seconds later, and see another process serve this page:</p>\n\
         <ul>\n{links}</ul>\n<p>Its health: <a href=\"/health\">/health</a></p>\n</html>\n"
    )
}

/// Returns the last part of `instance/service/incarnation`.
fn incarnation(unit: &str) -> Option<&str> {
    unit.rsplit_once('/').map(|(_, number)| number)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_which_run_serves_it() {
        assert_eq!(incarnation("ab12/demo-backend/7"), Some("7"));
        let page = render("<backend>", 812, Some("7"));
        assert!(page.contains("process <b>812</b>, incarnation <b>7</b>"), "{page}");
        assert!(page.contains("<h1>&lt;backend&gt;</h1>"), "{page}");
        assert!(page.contains("href=\"/break/close\""), "{page}");
        assert!(render("x", 1, incarnation("")).contains("not supervised"));
    }
}
