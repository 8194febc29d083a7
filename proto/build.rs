//! Compiles the contract with protox, so that building needs no `protoc`.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["sereno/v1/arbiter.proto", "sereno/v1/monitor.proto", "sereno/v1/supervisor.proto"];
    let descriptors = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(files)?
        .file_descriptor_set();

    // Reflection serves the same descriptors, without the comments that only code generation wants.
    let mut lean = descriptors.clone();
    for file in &mut lean.file {
        file.source_code_info = None;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("sereno.v1.bin"), prost_encode(&lean))?;

    tonic_prost_build::configure().compile_well_known_types(false).compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}

fn prost_encode(set: &tonic_prost_build::FileDescriptorSet) -> Vec<u8> {
    use protox::prost::Message as _;
    set.encode_to_vec()
}
