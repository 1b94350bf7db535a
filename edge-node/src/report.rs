//! (written on the lead branch: [EDGE-STATE] keeps account, auth, control; sync and report have moved to the lead)
