//! `doctor`: will everything be back after the next boot?
pub(crate) async fn doctor(session: &mut crate::ctl::Session) -> Result<(), crate::ctl::output::Failure> {
    let _ = session;
    Ok(())
}
