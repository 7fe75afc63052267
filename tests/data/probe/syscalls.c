/* One line for each system call number up to the one given: the number, and what calling it with arguments that are never
 * right gives: EPERM, ENOSYS, or "other". Each call is made by a child of its own, for some end or hang their caller. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* These would end the child before it could tell, or fork without anybody to tell the difference. */
static int is_left_out(long nr)
{
	return nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn
#ifdef SYS_fork
	       || nr == SYS_fork || nr == SYS_vfork
#endif
#ifdef SYS_pause
	       || nr == SYS_pause
#endif
		;
}

int main(int argc, char **argv)
{
	long last = argc > 1 ? atol(argv[1]) : 470;

	for (long nr = 0; nr <= last; nr++) {
		int status = 0;
		pid_t pid;

		if (is_left_out(nr))
			continue;
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			alarm(2);
			errno = 0;
			if (syscall(nr, -1L, -1L, -1L, -1L, -1L, -1L) != -1)
				_exit(3);
			_exit(errno == EPERM ? 1 : errno == ENOSYS ? 2 : 3);
		}
		waitpid(pid, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 1)
			printf("%ld EPERM\n", nr);
		else if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
			printf("%ld ENOSYS\n", nr);
		else
			printf("%ld other\n", nr);
	}
	return 0;
}
