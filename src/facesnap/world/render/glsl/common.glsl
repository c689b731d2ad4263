// Shared by every program: the pinhole camera of core.types.Camera, the body's lag behind the head, light.
uniform mat3 u_head;          // head space -> posed space (about the head's origin)
uniform mat3 u_body;          // the torso turns less than the head ...
uniform vec3 u_body_offset;   // ... about the base of the neck
uniform vec4 u_camera;        // scale, cx, cy as fractions of the picture; inverse distance in 1/cm
uniform vec2 u_depth;         // a, b of ndc depth = a + b / w
uniform mat4 u_shadow;        // posed space -> the light's clip space
uniform bool u_shadow_pass;

vec3 posed(vec3 p, float body) { return mix(u_head * p, u_body * p + u_body_offset, body); }
vec3 posed_direction(vec3 d, float body) { return normalize(mix(u_head * d, u_body * d, body)); }
float body_weight(vec3 rest) { return smoothstep(-8.6, -14.0, rest.y + 0.12 * (rest.z - 4.0)); }

vec4 clip(vec3 p) {
    if (u_shadow_pass) return u_shadow * vec4(p, 1.0);
    float w = 1.0 - p.z * u_camera.w;
    return vec4((2.0 * u_camera.y - 1.0) * w + 2.0 * u_camera.x * p.x,
                (1.0 - 2.0 * u_camera.z) * w + 2.0 * u_camera.x * p.y, u_depth.x * w + u_depth.y, w);
}
vec3 to_camera(vec3 p) { return normalize(vec3(-p.xy * u_camera.w, 1.0 - p.z * u_camera.w)); }
