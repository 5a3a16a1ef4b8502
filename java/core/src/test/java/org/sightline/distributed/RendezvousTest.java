package org.sightline.distributed;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RendezvousTest {
  private static Map<String, String> torchrun() {
    return new HashMap<>(
        Map.of(
            "RANK", "5",
            "WORLD_SIZE", "8",
            "LOCAL_RANK", "1",
            "MASTER_ADDR", "node-0",
            "MASTER_PORT", "29500"));
  }

  @Test
  void readsWhatTorchrunSets() {
    Map<String, String> environment = torchrun();
    assertEquals(
        new Rendezvous(5, 8, 1, "node-0", 29500, "", Rendezvous.DEFAULT_TIMEOUT),
        Rendezvous.from(environment).orElseThrow());

    environment.put("TORCHELASTIC_USE_AGENT_STORE", "True");
    environment.put("TORCHELASTIC_RESTART_COUNT", "2");
    assertEquals("sightline/2", Rendezvous.from(environment).orElseThrow().agentRun());
  }

  @Test
  void withoutAnyOfThemAProcessIsAlone() {
    assertEquals(Optional.empty(), Rendezvous.from(Map.of("PATH", "/bin")));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "RANK|8|RANK must be a whole number in 0..7, found \"8\"",
        "RANK|-1|RANK must be a whole number in 0..7, found \"-1\"",
        "WORLD_SIZE|0|WORLD_SIZE must be a whole number in 1..2147483647, found \"0\"",
        "LOCAL_RANK|one|LOCAL_RANK must be a whole number in 0..7, found \"one\"",
        "MASTER_PORT|65536|MASTER_PORT must be a whole number in 1..65535, found \"65536\"",
        "MASTER_ADDR|' '|masterAddress must be a host, found none",
      })
  void aValueWithoutMeaningIsNamed(String name, String value, String message) {
    Map<String, String> environment = torchrun();
    environment.put(name, value);
    assertEquals(
        message,
        assertThrows(IllegalArgumentException.class, () -> Rendezvous.from(environment))
            .getMessage());
  }

  @Test
  void aMissingVariableIsNamed() {
    for (String name : torchrun().keySet()) {
      Map<String, String> environment = torchrun();
      environment.remove(name);
      assertEquals(
          name
              + " must be set where others of"
              + " RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT are",
          assertThrows(IllegalArgumentException.class, () -> Rendezvous.from(environment))
              .getMessage());
    }
  }
}
