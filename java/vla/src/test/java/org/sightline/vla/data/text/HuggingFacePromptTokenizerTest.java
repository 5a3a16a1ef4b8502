package org.sightline.vla.data.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.sightline.formats.json.JsonFields;
import org.sightline.vla.Fixtures;

class HuggingFacePromptTokenizerTest {
  @TempDir Path folder;

  private static String embeddedJson() throws IOException {
    try (var in = HuggingFacePromptTokenizer.class.getResourceAsStream("nano-tokenizer.json")) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  @Test
  void committedFileIsWhatTheTrainerMakes() throws IOException {
    assertEquals(NanoTokenizerTrainer.json(), embeddedJson());
  }

  @Test
  void staysClearOfTheActionIds() throws IOException {
    try (PromptTokenizer t = HuggingFacePromptTokenizer.embedded()) {
      assertTrue(t.vocabularySize() <= new ActionTokenizer(1024, 256).firstId());
      assertEquals(1, t.bosId());
      assertEquals(2, t.eosId());
      assertEquals(3, t.padId());
      assertEquals(OptionalLong.of(260), t.wordStartId());
    }
  }

  /** Pieces found by applying the merges by hand; the ids are those of the committed file. */
  @Test
  void goldenPrompt() throws IOException {
    String json = embeddedJson();
    String[] pieces = {
      "<s>", "▁In", ":", "▁What", "▁action", "▁should", "▁the", "▁robot", "▁take", "▁to", "▁put",
      "▁carrot", "▁on", "▁plate", "?", "<0x0A>", "Out", ":", "▁"
    };
    var vocabulary =
        JsonParser.parseString(json)
            .getAsJsonObject()
            .getAsJsonObject("model")
            .getAsJsonObject("vocab");
    long[] expected =
        Arrays.stream(pieces).mapToLong(piece -> vocabulary.get(piece).getAsLong()).toArray();
    try (PromptTokenizer t = HuggingFacePromptTokenizer.embedded()) {
      assertArrayEquals(expected, Prompt.ids(t, "Put Carrot on plate"));
    }
  }

  /** What tokenizers and transformers make of texts of all kinds: tokenizer_fixtures.py. */
  @Test
  void idsAreThoseOfThePythonLibraries() throws IOException {
    var fixture = JsonFields.read(Fixtures.root().resolve("tokenizer.json"));
    List<JsonFields> cases = fixture.objects("cases");
    assertTrue(cases.size() > 100);
    try (PromptTokenizer t = HuggingFacePromptTokenizer.embedded()) {
      for (JsonFields expected : cases) {
        String text = expected.text("text");
        assertArrayEquals(array(expected.longs("ids")), t.encode(text), text);
      }
    }
    for (JsonFields variant : fixture.objects("variants")) {
      JsonObject settings = variant.object("settings").json();
      JsonObject root = JsonParser.parseString(embeddedJson()).getAsJsonObject();
      JsonObject model = root.getAsJsonObject("model");
      settings.entrySet().forEach(entry -> root.add(entry.getKey(), entry.getValue()));
      if (root.get("model") != model) {
        root.getAsJsonObject("model").asMap().forEach(model::add);
        root.add("model", model);
      }
      Files.writeString(folder.resolve("tokenizer.json"), root.toString());
      try (PromptTokenizer t = HuggingFacePromptTokenizer.open(folder)) {
        int row = 0;
        for (var ids : variant.json().getAsJsonArray("ids")) {
          String text = cases.get(row++).text("text");
          long[] expected =
              ids.getAsJsonArray().asList().stream().mapToLong(JsonElement::getAsLong).toArray();
          assertArrayEquals(expected, t.encode(text), text + " with " + settings);
        }
      }
    }
  }

  private static long[] array(List<Long> values) {
    return values.stream().mapToLong(Long::longValue).toArray();
  }

  /** Newer files write a merge as two tokens, older ones as one text. */
  @Test
  void mergesInEitherFormAreTheSame() throws IOException {
    JsonObject root = JsonParser.parseString(embeddedJson()).getAsJsonObject();
    JsonArray pairs = new JsonArray();
    for (JsonElement merge : root.getAsJsonObject("model").getAsJsonArray("merges")) {
      JsonArray pair = new JsonArray();
      Arrays.stream(merge.getAsString().split(" ")).forEach(pair::add);
      pairs.add(pair);
    }
    root.getAsJsonObject("model").add("merges", pairs);
    Files.writeString(folder.resolve("tokenizer.json"), root.toString());
    String text = "In: What action should the robot take?";
    try (PromptTokenizer embedded = HuggingFacePromptTokenizer.embedded();
        PromptTokenizer opened = HuggingFacePromptTokenizer.open(folder)) {
      assertArrayEquals(embedded.encode(text), opened.encode(text));
    }
  }

  /** A file that was saved after calls with them keeps both; transformers resets them each time. */
  @Test
  void truncationAndPaddingOfTheFileDoNotCount() throws IOException {
    String cut = "{'direction': 'Right', 'max_length': 8, 'strategy': 'LongestFirst', 'stride': 0}";
    String pad =
        "{'strategy': {'Fixed': 64}, 'direction': '%s', 'pad_to_multiple_of': null, 'pad_id': 0,"
            + " 'pad_type_id': 0, 'pad_token': '<unk>'}";
    String instruction = "put the carrot on the plate and then close the drawer";
    try (PromptTokenizer embedded = HuggingFacePromptTokenizer.embedded()) {
      for (String[] settings :
          new String[][] {
            {cut, "null"}, {"null", pad.formatted("Left")}, {cut, pad.formatted("Right")}
          }) {
        var root = JsonParser.parseString(embeddedJson()).getAsJsonObject();
        root.add("truncation", JsonParser.parseString(settings[0].replace('\'', '"')));
        root.add("padding", JsonParser.parseString(settings[1].replace('\'', '"')));
        Path file = Files.writeString(folder.resolve("tokenizer.json"), root.toString());
        try (PromptTokenizer opened = HuggingFacePromptTokenizer.open(file)) {
          assertArrayEquals(
              Prompt.ids(embedded, instruction), Prompt.ids(opened, instruction), settings[0]);
        }
      }
    }
  }

  @Test
  void wordStartIsAppendedOnlyWhenMissing() throws IOException {
    assertEquals("In: What action should the robot take to öffne x?\nOut:", Prompt.text("ÖFFNE X"));
    long[] plain = {1, 5, 6};
    assertArrayEquals(new long[] {1, 5, 6, 29871}, Prompt.ids(fixed(29871, plain), "x"));
    long[] ending = {1, 5, 29871};
    assertArrayEquals(ending, Prompt.ids(fixed(29871, ending), "x"));
    assertArrayEquals(plain, Prompt.ids(fixed(-1, plain), "x"));
  }

  private static PromptTokenizer fixed(long wordStart, long[] ids) {
    return new PromptTokenizer() {
      @Override
      public long[] encode(String text) {
        return ids;
      }

      @Override
      public long vocabularySize() {
        return 32001;
      }

      @Override
      public long bosId() {
        return 1;
      }

      @Override
      public long eosId() {
        return 2;
      }

      @Override
      public long padId() {
        return 32000;
      }

      @Override
      public OptionalLong wordStartId() {
        return wordStart < 0 ? OptionalLong.empty() : OptionalLong.of(wordStart);
      }
    };
  }

  /** A file without post-processor and pad token, such as some exports of Llama 2. */
  @Test
  void addsBosAndPadWhereTheFileHasNone() throws IOException {
    var root = JsonParser.parseString(embeddedJson()).getAsJsonObject();
    root.add("post_processor", JsonNull.INSTANCE);
    root.getAsJsonArray("added_tokens").remove(3);
    var vocabulary = root.getAsJsonObject("model").getAsJsonObject("vocab");
    vocabulary.remove("<pad>");
    vocabulary.addProperty("<spare>", 3);
    Path file = folder.resolve("tokenizer.json");
    Files.writeString(file, root.toString());
    try (PromptTokenizer embedded = HuggingFacePromptTokenizer.embedded();
        PromptTokenizer opened = HuggingFacePromptTokenizer.open(folder)) {
      assertEquals(embedded.vocabularySize(), opened.padId(), "the first id behind the vocabulary");
      assertArrayEquals(embedded.encode("put it"), opened.encode("put it"));
    }
  }

  @Test
  void missingAndMalformedFilesAreExplained() throws IOException {
    Path file = folder.resolve("tokenizer.json");
    assertMessage(file + ": no such file, expected a Hugging Face tokenizer.json");
    Files.writeString(folder.resolve("tokenizer.model"), "x");
    assertMessage("(a SentencePiece tokenizer.model alone is not enough)");
    Files.writeString(file, "[1,2]");
    assertMessage(file + ": document: found [1,2], expected a JSON object");
  }

  /** What the file would compute otherwise than here, by name; {@code null} takes a key away. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      textBlock =
          """
          model.type | "WordLevel" | model.type: found "WordLevel", expected BPE
          model.byte_fallback | false | model.byte_fallback: found false, expected true
          model.dropout | 0.1 | model.dropout: found 0.1, expected 0.0
          model.end_of_word_suffix | "</w>" | found "</w>", expected null
          model.vocab.▁ | 3 | model.vocab.▁: found 3, expected an id of its own below 768
          model.vocab.▁ | 768 | model.vocab.▁: found 768, expected an id of its own below 768
          model.vocab.▁ | -1 | found -1, expected an id of its own below 768
          model.vocab | {"<0x00>":0} | model.vocab: found no token "<0x01>", expected it in the
          model.merges | ["▁ t","q 漢"] | model.merges[1]: found no token "漢", expected it in
          model.merges | ["▁ t","a b c"] | model.merges[1]: found "a b c", expected two tokens
          model.merges | [["▁","t"],["a",1e999]] | model.merges[1]: found ["a",1e999], expected two
          model.merges | null | model.merges: found null, expected a list
          normalizer | null | normalizer: found null, expected one that replaces " " by "▁"
          normalizer | {"type":"NFKC"} | normalizer.type: found "NFKC", expected Prepend
          normalizer.normalizers | [{"type":"Prepend","prepend":"▁"},{"type":"Prepend","prepend":"▁"}] | normalizers[1].type: found "Prepend"
          normalizer | {"type":"Replace","pattern":{"Regex":"(a+)+$"},"content":"▁"} | pattern.String: found no such key
          normalizer | {"type":"Replace","pattern":{"String":""},"content":"▁"} | pattern.String: found "", expected
          pre_tokenizer | {"type":"Split"} | pre_tokenizer.type: found "Split", expected Metaspace
          pre_tokenizer | {"type":"Metaspace","replacement":"_"} | found "_", expected ▁
          pre_tokenizer | {"type":"Metaspace","replacement":"▁","prepend_scheme":"last"} | found "last", expected one of
          post_processor.type | "BertProcessing" | found "BertProcessing", expected TemplateProcessing
          post_processor.single | [{"SpecialToken":{"id":"<s>"}},{"Sequence":{"id":"A"}},{"SpecialToken":{"id":"</s>"}}] | expected <s> before the text, nothing behind it
          post_processor.special_tokens | {} | special_tokens.<s>: found no such key
          post_processor.special_tokens | {"<s>":{"ids":[1,4294967296]}} | ids: found [1,4294967296], expected [1]
          added_tokens | [{"id":99,"content":"<s>","normalized":false}] | added_tokens[0].id: found 99, expected 1
          added_tokens | [{"id":2147483647,"content":"<PAD>","normalized":false}] | found 2147483647, expected 768
          added_tokens | [{"id":768,"content":"","normalized":false}] | content: found "", expected
          added_tokens | [{"id":768,"content":"<PAD>","normalized":false,"lstrip":true}] | lstrip: found true, expected false
          """)
  void whatLlamasFilesDoNotHaveIsRefusedByName(String key, String value, String message)
      throws IOException {
    JsonObject root = JsonParser.parseString(embeddedJson()).getAsJsonObject();
    String[] path = key.split("\\.");
    JsonObject parent = root;
    for (int i = 0; i < path.length - 1; i++) {
      parent = parent.getAsJsonObject(path[i]);
    }
    parent.add(path[path.length - 1], JsonParser.parseString(value));
    Files.writeString(folder.resolve("tokenizer.json"), root.toString());
    assertMessage(message);
  }

  private void assertMessage(String part) {
    IOException e =
        assertThrows(IOException.class, () -> HuggingFacePromptTokenizer.open(folder), part);
    assertTrue(e.getMessage().contains(part), e.getMessage());
  }
}
