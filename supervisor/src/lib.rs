//! To come.


