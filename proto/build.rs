//! Compiles the contract with protox, so that the build needs no `protoc`, and generates its table of limits.

#[path = "build/bounds.rs"]
mod bounds;

use std::path::PathBuf;

use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["sereno/v1/arbiter.proto", "sereno/v1/monitor.proto", "sereno/v1/supervisor.proto"];
    let descriptors = protox::Compiler::new(["proto"])?
        .include_imports(true)
        .include_source_info(true)
        .open_files(files)?
        .file_descriptor_set();
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("bounds.rs"), bounds::table(&descriptors)?)?;

    // Reflection serves the same descriptors without the comments, which only code generation needs.
    let mut lean = descriptors.clone();
    for file in &mut lean.file {
        file.source_code_info = None;
    }
    std::fs::write(out.join("sereno.v1.bin"), lean.encode_to_vec())?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .compile_well_known_types(false)
        .codec_path("crate::codec::BoundedCodec")
        .compile_fds_with_config(descriptors, config)?;
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=build");
    Ok(())
}
