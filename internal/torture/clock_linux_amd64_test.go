package torture

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"
)

// What a new process finds on its stack: argc, the arguments, the environment,
// and pairs that tell it of the kernel, see getauxval(3).
const (
	auxEnd    = 0  // AT_NULL
	auxIgnore = 1  // AT_IGNORE
	auxVDSO   = 33 // AT_SYSINFO_EHDR
)

// hideVDSO lets a program that is about to begin read its clocks by system
// calls, which can be traced, and not from the page that the kernel maps into it.
func hideVDSO(tid int) error {
	var regs unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &regs); err != nil {
		return err
	}
	at := uintptr(regs.Rsp)
	next := func() (uint64, error) {
		v, err := peek(tid, at)
		at += 8
		return v, err
	}
	if _, err := next(); err != nil { // argc
		return err
	}
	for range 2 { // arguments, environment
		for {
			v, err := next()
			if err != nil {
				return err
			}
			if v == 0 {
				break
			}
		}
	}
	for {
		key, err := next()
		if err != nil || key == auxEnd {
			return err
		}
		if key == auxVDSO {
			return poke(tid, at-8, auxIgnore)
		}
		at += 8
	}
}

// shift adds to the time that the kernel has written.
func (t *tracer) shift(tid int, addr uint64) error {
	seconds, err := peek(tid, uintptr(addr))
	if err != nil {
		return err
	}
	return poke(tid, uintptr(addr), seconds+uint64(t.attack.Clock/time.Second))
}

func peek(tid int, at uintptr) (uint64, error) {
	var word [8]byte
	_, err := unix.PtracePeekData(tid, at, word[:])
	return binary.LittleEndian.Uint64(word[:]), err
}

func poke(tid int, at uintptr, v uint64) error {
	_, err := unix.PtracePokeData(tid, at, binary.LittleEndian.AppendUint64(nil, v))
	return err
}
