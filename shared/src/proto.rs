//! The generated wire types and services. Only the conversion module and the RPC edges of the
//! two planes import them.

pub mod pushed;

macro_rules! package {
    ($name:ident, $path:literal) => {
        #[allow(
            missing_docs,
            unreachable_pub,
            unused_lifetimes,
            rust_2018_idioms,
            clippy::all,
            clippy::needless_pass_by_value,
            clippy::too_many_lines,
            clippy::large_futures,
            clippy::or_fun_call,
            clippy::redundant_clone,
            clippy::allow_attributes_without_reason,
            reason = "generated code"
        )]
        pub mod $name {
            tonic::include_proto!($path);
        }
    };
}

package!(discovery, "godwit.discovery.v1");
package!(telemetry, "godwit.telemetry.v1");
package!(ledger, "godwit.ledger.v1");
package!(admin, "godwit.admin.v1");

/// The descriptors of every package, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
