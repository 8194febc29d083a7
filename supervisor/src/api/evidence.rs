//! `GetEvidence`: what was seen of a run before it was ended.

use std::path::PathBuf;

use proto::v1;
use tonic::Status;

use super::requests;
use crate::evidence::store;

/// Reads the evidence of a run from its file.
pub(super) async fn get(
    folder: PathBuf,
    request: v1::GetEvidenceRequest,
) -> Result<v1::GetEvidenceResponse, Status> {
    let v1::GetEvidenceRequest { service, incarnation } = request;
    let name = requests::name("service", &service)?;
    let read = tokio::task::spawn_blocking(move || store::read(&folder, &name, incarnation)).await;
    let found = read.map_err(|_| Status::internal("reading the evidence failed"))?;
    let found = found.map_err(|error| Status::internal(format!("cannot read the evidence: {error}")))?;
    let run = if incarnation == 0 { String::new() } else { format!(" (incarnation {incarnation})") };
    let (incarnation, text) = found.ok_or_else(|| {
        Status::not_found(format!("no evidence is kept of {service}{run}: it is taken when a run is judged"))
    })?;
    Ok(v1::GetEvidenceResponse { incarnation, text })
}

#[cfg(test)]
mod tests {
    use proto::Name;
    use tonic::Code;

    use super::*;

    #[tokio::test]
    async fn what_is_not_kept_is_said_and_no_other_file_is_read() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("evidence");
        let name = Name::new("web").expect("a name");
        store::write(&folder, &name, 4, "all threads stopped\n").expect("written");
        let ask = |service: &str, incarnation| {
            get(folder.clone(), v1::GetEvidenceRequest { service: service.into(), incarnation })
        };
        let found = ask("web", 0).await.expect("kept");
        assert_eq!((found.incarnation, found.text.as_str()), (4, "all threads stopped\n"));
        let missing = ask("web", 5).await.expect_err("not kept");
        assert_eq!(missing.code(), Code::NotFound);
        assert!(missing.message().starts_with("no evidence is kept of web (incarnation 5): "), "{missing:?}");
        assert_eq!(ask("db", 0).await.expect_err("not kept").code(), Code::NotFound);
        let outside = ask("../evidence/web", 4).await.expect_err("no name");
        assert_eq!(outside.code(), Code::InvalidArgument);
    }
}
