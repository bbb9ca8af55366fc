package config

import "testing"

func TestField1_6_ManagerURLComesAndGoes(t *testing.T) {
	const url = "https://192.0.2.1:8443"
	for in, want := range map[string]string{
		"":                                   "enrollment: # added by enrollment\n  manager_url: \"" + url + "\" # added by enrollment\n",
		"tls: {}\n":                          "tls: {}\nenrollment: # added by enrollment\n  manager_url: \"" + url + "\" # added by enrollment\n",
		"tls: {}":                            "tls: {}\nenrollment: # added by enrollment\n  manager_url: \"" + url + "\" # added by enrollment",
		"enrollment:\n  a: 1\n":              "enrollment:\n  manager_url: \"" + url + "\" # added by enrollment\n  a: 1\n",
		"enrollment: # c\n":                  "enrollment: # c\n  manager_url: \"" + url + "\" # added by enrollment\n",
		"enrollment:\n  manager_url:\n":      "enrollment:\n  manager_url: \"" + url + "\" # set by enrollment, was: nothing\n",
		"enrollment:\n  manager_url: ''\n":   "enrollment:\n  manager_url: \"" + url + "\" # set by enrollment, was: ''\n",
		"enrollment:\n  manager_url: \"\"\n": "enrollment:\n  manager_url: \"" + url + "\" # set by enrollment, was: \"\"\n",
		"enrollment:\n  manager_url: https://your-manager/api/v1/enroll # fill in\n  b: 1\n": "enrollment:\n  manager_url: \"" + url + "\" # set by enrollment, was: https://your-manager/api/v1/enroll # fill in\n  b: 1\n",
		"enrollment:\n  manager_url: \"https://CHANGE_ME\"\n":                                "enrollment:\n  manager_url: \"" + url + "\" # set by enrollment, was: \"https://CHANGE_ME\"\n",
	} {
		got, err := SetManagerURL([]byte(in), url)
		if err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
			continue
		}
		if back, err := ClearManagerURL(got, url); err != nil || string(back) != in {
			t.Errorf("%q: undone it is %q, %v, want %v", in, back, err, in)
		}
		if same, err := ClearManagerURL(got, "https://192.0.2.2"); err != nil || string(same) != want {
			t.Errorf("%q: a value of somebody else's was taken out: got %q, %v, want %v", in, same, err, want)
		}
	}
}

// A token comes and goes beside it, and neither takes the other along.
func TestTokenAndManagerURLSideBySide(t *testing.T) {
	clearURL := func(b []byte) ([]byte, error) { return ClearManagerURL(b, "https://192.0.2.1") }
	for _, before := range []string{"tls: {}\n", "enrollment: null # c\ntls: {}\n", "enrollment:\t{}", "enrollment: ~\r\n"} {
		for _, undo := range [][]func([]byte) ([]byte, error){{ClearPollingToken, clearURL}, {clearURL, ClearPollingToken}} {
			data, err := SetPollingToken([]byte(before), "token0123456789")
			for _, step := range append([]func([]byte) ([]byte, error){
				func(b []byte) ([]byte, error) { return SetManagerURL(b, "https://192.0.2.1") },
			}, undo...) {
				if err == nil {
					data, err = step(data)
				}
			}
			if err != nil || string(data) != before {
				t.Errorf("got %q, %v, want %q", data, err, before)
			}
		}
	}
}

// Without our comments, as another agent writes the file, the value goes.
func TestManagerURLWithoutComments(t *testing.T) {
	got, err := ClearManagerURL([]byte("enrollment:\n  manager_url: https://192.0.2.1\n"), "https://192.0.2.1")
	if want := "enrollment:\n  manager_url: \"\"\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestField1_6_Placeholders(t *testing.T) {
	for value, want := range map[string]bool{
		"": true, " ": true, "https://manager.example.com/api/v1/enroll": true, "https://your-manager.internal:8443": true,
		"https://CHANGE_ME": true, "<manager url>": true, "https://manager.example": true, "https://patch.invalid": true,
		"https://patch.corp.test": false, "https://192.0.2.1": false, "https://example.company": false, "https://counterexample.com": false,
	} {
		if got := Placeholder(value); got != want {
			t.Errorf("%q: got %t, want %t", value, got, want)
		}
	}
}
