//! Who may wait?

/// From now on the calling thread gets processor and disk only when nobody else wants them: nice 19, and the idle class of
/// ioprio_set(2). Both need no privilege. Refused, it stays as it was.
pub fn idle_priority() {
    const IOPRIO_WHO_PROCESS: libc::c_long = 1;
    const IOPRIO_CLASS_IDLE: libc::c_long = 3 << 13;
    const CALLING_THREAD: libc::c_long = 0;
    // SAFETY: neither call takes a pointer. Linux applies both to the calling thread alone when it is named by 0
    // (setpriority(2), section "C library/kernel differences"; ioprio_set(2)).
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 19);
        libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, CALLING_THREAD, IOPRIO_CLASS_IDLE);
    }
}
