/* The first program of a benchmark guest: says so on the serial port, by port I/O, for neither kernel nor machine needs a
 * serial driver then; and waits. Built with -static -nostdlib, so that it costs next to nothing itself. */

#define SYS_pause 34
#define SYS_ioperm 173
#define SERIAL_PORT 0x3f8

static long system_call(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

void _start(void)
{
	static const char marker[] = "FIRST-PROGRAM\n";
	system_call(SYS_ioperm, SERIAL_PORT, 8, 1);
	for (const char *c = marker; *c; c++)
		__asm__ volatile("outb %0, %1" : : "a"(*c), "Nd"((unsigned short)SERIAL_PORT));
	for (;;)
		system_call(SYS_pause, 0, 0, 0);
}
