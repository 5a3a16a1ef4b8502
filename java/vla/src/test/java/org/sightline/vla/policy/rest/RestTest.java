package org.sightline.vla.policy.rest;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Random;
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
    assertEquals(2, NumpyJson.numbers("action", answer)[0]);
    // Those without json-numpy send it as a string, and get one.
    JsonObject encoded = new JsonObject();
    encoded.addProperty("encoded", request);
    String text = JsonParser.parseString(post(200, encoded.toString())).getAsString();
    assertEquals(answer, JsonParser.parseString(text));
  }

  @Test
  void badRequestsAreExplained() throws Exception {
    assertEquals("\"request must be JSON, found {\"", post(400, "{"));
    assertTrue(post(400, "{}").contains("image must be an array as json-numpy writes it"));
    String image = "{\"__numpy__\": \"AAEC\", \"dtype\": \"|u1\", \"shape\": [2, 2, 3]}";
    assertTrue(
        post(400, "{\"image\": " + image + "}")
            .contains("image must have 12 bytes as its shape says, found 3"));
    assertTrue(
        post(400, "{\"image\": " + image.replace("|u1", "<f4") + "}")
            .contains("image must be uint8 [height,width,3]"));
    HttpRequest get = HttpRequest.newBuilder(uri(server.address()).resolve("/act")).build();
    assertEquals(
        405,
        HttpClient.newHttpClient().send(get, HttpResponse.BodyHandlers.ofString()).statusCode());
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
        new String[] {"\"error\"", "[1, 2]", "{}", "[1,2,3,4,5,6,null]", "<html>", "\"[1\"", ""}) {
      assertThrows(IOException.class, () -> answered(200, bad), bad);
    }
    assertThrows(IOException.class, () -> answered(500, "[1, 2, 3, 4, 5, 6, 0.5]"));
    assertThrows(
        IllegalArgumentException.class, () -> new RemotePolicy(URI.create("localhost"), null));
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
