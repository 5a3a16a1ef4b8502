package org.sightline.vla.policy.rest;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Base64;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.sightline.vla.data.image.RgbImage;

/** Server and client against each other, and each against what Python sends. */
class RestTest {
  private static final RgbImage IMAGE = image();

  private PolicyServer server;

  private static RgbImage image() {
    byte[] pixels = new byte[5 * 4 * 3];
    new Random(1).nextBytes(pixels);
    return new RgbImage(5, 4, pixels);
  }

  /** Answers with what it was given, so that the test sees it. */
  private static float[] act(RgbImage image, String instruction) {
    if (instruction.isBlank()) {
      throw new IllegalArgumentException("instruction must say what to do, found nothing");
    }
    return new float[] {
      image.width(), image.height(), image.get(1, 1, 1), instruction.length(), -0.1f, 1e-7f, 1
    };
  }

  @BeforeEach
  void serve() throws IOException {
    server = new PolicyServer(RestTest::act, anyPort());
  }

  @AfterEach
  void stop() {
    server.close();
  }

  private static InetSocketAddress anyPort() {
    return new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
  }

  private static URI uri(InetSocketAddress address) {
    return URI.create("http://127.0.0.1:" + address.getPort());
  }

  @Test
  void theClientSeesWhatThePolicySays() throws IOException {
    RemotePolicy remote = new RemotePolicy(uri(server.address()), "bridge_orig");
    assertArrayEquals(act(IMAGE, "put é on plate"), remote.act(IMAGE, "put é on plate"));
    IOException refused = assertThrows(IOException.class, () -> remote.act(IMAGE, " "));
    assertTrue(
        refused
            .getMessage()
            .endsWith("answered 400: \"instruction must say what to do, found nothing\""),
        refused.getMessage());
  }

  /** {@code json_numpy.dumps(numpy.arange(12, dtype=numpy.uint8).reshape(2, 2, 3))}. */
  @Test
  void pythonsRequestsAreRead() throws Exception {
    String image =
        "{\"__numpy__\": \"AAECAwQFBgcICQoL\", \"dtype\": \"|u1\", \"shape\": [2, 2, 3]}";
    String request = "{\"image\": " + image + ", \"instruction\": \"go\"}";
    JsonObject answer = JsonParser.parseString(post(200, request)).getAsJsonObject();
    assertEquals("<f8", answer.get("dtype").getAsString());
    assertEquals("[7]", answer.get("shape").toString());
    assertEquals(
        2, NumpyJson.numbers(NumpyJson.holding(Path.of("answer"), "a", answer.toString()), "a")[0]);
    // Those without json-numpy send it as a string, and get one.
    JsonObject encoded = new JsonObject();
    encoded.addProperty("encoded", request);
    String text = JsonParser.parseString(post(200, encoded.toString())).getAsString();
    assertEquals(answer, JsonParser.parseString(text));
  }

  @Test
  void badRequestsAreExplained() throws Exception {
    String deep = "[".repeat(100_000);
    String image = "{\"__numpy__\": \"AAEC\", \"dtype\": \"|u1\", \"shape\": [2, 2, 3]}";
    for (String[] requestAndReason :
        new String[][] {
          {"{", "request: line 1, column 2: "},
          {"", "found nothing, expected a value"},
          {"[]", "request: document: found [], expected a JSON object"},
          {deep, "nesting depth (256)"},
          {"{\"image\": " + deep, "nesting depth (256)"},
          {"{\"encoded\": 3}", "request: encoded: found 3, expected a string"},
          {"{\"encoded\": \"{\"}", "request: encoded, line 1, column 2"},
          {"{}", "request: image: found no such key, expected an object"},
          {of(image), "request: image.shape: found [2,2,3], expected that of 3 bytes"},
          {of(image.replace("|u1", "<f4")), "expected uint8 [height,width,3]"},
          {of(image.replace("\"|u1\"", "{}")), "request: image.dtype: found {}, expected a string"},
          {
            of(image.replace("AAEC", "?")),
            "request: image.__numpy__: found \\\"?\\\", expected base"
          },
          // 4,294,967,297 is 1 in 32 bits, the products below are 3 in 64.
          {of(image.replace("2, 2", "1, 4294967297")), "expected that of 3 bytes"},
          {of(image.replace("2, 2", "-1, -1")), "expected that of 3 bytes"},
          {of(image.replace("2, 2", "6148914691236517206, 3002399751580331")), "expected that of"},
          {of(image.replace("2, 2", "1, 1.5")), "expected a list of integers"},
          {of(image.replace("2, 2, 3", "0, 0, 3").replace("AAEC", "")), "expected that of 0 bytes"},
          {
            of(image.replace("2, 2", "1, 1")).replace("\"go\"", "7"),
            "request: instruction: found 7"
          },
        }) {
      String answer = post(400, requestAndReason[0]);
      assertTrue(answer.contains(requestAndReason[1]), answer);
      assertTrue(answer.length() < 2500, () -> answer.length() + " characters");
    }
    HttpRequest get = HttpRequest.newBuilder(uri(server.address()).resolve("/act")).build();
    assertEquals(
        405,
        HttpClient.newHttpClient().send(get, HttpResponse.BodyHandlers.ofString()).statusCode());
  }

  private static String of(String image) {
    return "{\"image\": " + image + ", \"instruction\": \"go\"}";
  }

  /** Nor does a policy that fails, or says what is no number, end the server. */
  @Test
  void whatIsNoActionIsNotSent() throws Exception {
    for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
      try (PolicyServer failing = new PolicyServer((i, t) -> new float[] {bad}, anyPort())) {
        RemotePolicy remote = new RemotePolicy(uri(failing.address()), null);
        for (int i = 0; i < 2; i++) {
          IOException refused = assertThrows(IOException.class, () -> remote.act(IMAGE, "go"));
          assertTrue(
              refused.getMessage().contains("500: \"the action must be finite, found " + bad));
        }
      }
    }
  }

  /** One that opens a connection and stops has no thread of the others. */
  @Test
  void aSilentClientKeepsNobodyWaiting() throws Exception {
    try (Socket silent = new Socket(server.address().getAddress(), server.address().getPort())) {
      silent.getOutputStream().write("POST /act HTTP/1.1\r\nContent-Length: 9\r\n\r\n{".getBytes());
      silent.getOutputStream().flush();
      assertArrayEquals(
          act(IMAGE, "go"), new RemotePolicy(uri(server.address()), null).act(IMAGE, "go"));
    }
  }

  /** So that what acts may be closed after the server. */
  @Test
  void closeWaitsForTheRequestThatIsComputed() throws Exception {
    CountDownLatch begun = new CountDownLatch(1);
    CountDownLatch closing = new CountDownLatch(1);
    AtomicBoolean done = new AtomicBoolean();
    PolicyServer slow =
        new PolicyServer(
            (image, text) -> {
              begun.countDown();
              try {
                closing.await();
              } catch (InterruptedException e) {
                throw new IllegalStateException(e);
              }
              done.set(true);
              return new float[7];
            },
            anyPort());
    Thread client =
        new Thread(
            () -> {
              try {
                new RemotePolicy(uri(slow.address()), null).act(IMAGE, "go");
              } catch (IOException e) {
                // Its connection may be closed before the answer is there.
              }
            });
    client.start();
    begun.await();
    new Thread(closing::countDown).start();
    slow.close();
    assertTrue(done.get());
    client.join();
  }

  private String post(int code, String body) throws Exception {
    HttpRequest request =
        HttpRequest.newBuilder(uri(server.address()).resolve("/act"))
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
    var response = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
    assertEquals(code, response.statusCode(), response.body());
    return response.body();
  }

  /** Of other servers: plain arrays, and what goes wrong in theirs. */
  @Test
  void foreignAnswersAreRead() throws IOException {
    assertArrayEquals(
        new float[] {1, 2, 3, 4, 5, 6, 0.5f}, answered(200, "[1, 2, 3, 4, 5, 6, 0.5]"));
    for (String bad :
        new String[] {
          "\"error\"",
          "[1, 2]",
          "{}",
          "[1,2,3,4,5,6,null]",
          "[1,2,3,4,5,6,NaN]",
          "[1,2,3,4,5,6,1e39]",
          "[1,2,3,4,5,6,-1e400]",
          numpy("<f4", "AADAfw=="),
          numpy("<f8", "AAAAAAAA8H8="),
          numpy("<i8", "AAAAAAAA8H8="),
          "<html>",
          "\"[1\"",
          "",
          "[".repeat(60_000)
        }) {
      assertThrows(IOException.class, () -> answered(200, bad), bad);
    }
    assertThrows(IOException.class, () -> answered(500, "[1, 2, 3, 4, 5, 6, 0.5]"));
    assertThrows(
        IllegalArgumentException.class, () -> new RemotePolicy(URI.create("localhost"), null));
  }

  /** Seven times the same. */
  private static String numpy(String dtype, String value) {
    byte[] one = Base64.getDecoder().decode(value);
    byte[] all = new byte[7 * one.length];
    for (int i = 0; i < all.length; i++) {
      all[i] = one[i % one.length];
    }
    return "{\"__numpy__\": \"%s\", \"dtype\": \"%s\", \"shape\": [7]}"
        .formatted(Base64.getEncoder().encodeToString(all), dtype);
  }

  @Test
  void answersThatDoNotEndAreLeft() throws IOException {
    String large =
        assertThrows(IOException.class, () -> answered(200, " ".repeat(70_000))).getMessage();
    assertTrue(large.endsWith("answered more than 65536 bytes"), large);
    try (ServerSocket stalls = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      Thread server =
          new Thread(
              () -> {
                try (Socket client = stalls.accept()) {
                  client
                      .getOutputStream()
                      .write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[".getBytes());
                  client.getInputStream().transferTo(OutputStream.nullOutputStream());
                } catch (IOException e) {
                  throw new UncheckedIOException(e);
                }
              });
      server.setDaemon(true);
      server.start();
      URI address = URI.create("http://127.0.0.1:" + stalls.getLocalPort());
      RemotePolicy remote = new RemotePolicy(address, null, Duration.ofMillis(300));
      String slow = assertThrows(IOException.class, () -> remote.act(IMAGE, "go")).getMessage();
      assertTrue(slow.endsWith("gave no whole answer in PT0.3S"), slow);
    }
  }

  private static float[] answered(int code, String answer) throws IOException {
    HttpServer foreign = HttpServer.create(anyPort(), 0);
    foreign.createContext(
        "/act",
        exchange -> {
          exchange.sendResponseHeaders(code, answer.length());
          exchange.getResponseBody().write(answer.getBytes());
          exchange.close();
        });
    foreign.start();
    try {
      return new RemotePolicy(uri(foreign.getAddress()), null).act(IMAGE, "go");
    } finally {
      foreign.stop(0);
    }
  }
}
